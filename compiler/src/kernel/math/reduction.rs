//! Large arguments of sine, cosine and tangent (M. H. Payne and R. N. Hanek, "Radian Reduction for Trigonometric Functions", SIGNUM 18, 1983).
//!
//! x = m·2ᵉ with an integer m of 24 (53) bits. Only a window of the bits of 2/π decides x·2/π mod 4: those above give multiples of 4, those
//! below are lost in rounding. 2/π is a row of limbs of half the word's bits, 16 (32). With e − 2 = limb bits·j + q, the window begins at
//! limb j, and (m·2^q)·window, modulo 1, is a quarter of the wanted number. The window is moved into place by selections on the bits of j, one
//! power of two at a time, so lanes may have different exponents, and only constant shifts are needed.

use super::circular::Quadrant;
use super::float::FloatMath;
use super::power::Pair;
use crate::kernel::{Binary, Compare, Val};

/// Limbs of the window: those of the product's fraction, one for carries, and two that m·2^q reaches over.
const WINDOW: usize = 7;
/// Limbs of the fraction that are kept; four hold 64 (128) bits.
const FRACTION: usize = 4;

impl FloatMath<'_> {
    fn limb_bits(&self) -> i64 {
        i64::from(self.format.width) / 2
    }

    fn low_limb(&mut self, x: Val) -> Val {
        let ones = (1 << self.limb_bits()) - 1;
        self.bits_op(Binary::And, x, ones)
    }

    fn high_limb(&mut self, x: Val) -> Val {
        let bits = self.limb_bits();
        self.bits_op(Binary::ShiftRight, x, bits)
    }

    /// Whether a bit of an integer is set.
    fn has_bit(&mut self, x: Val, bit: i64) -> Val {
        let low = self.bits_op(Binary::And, x, 1 << bit);
        let zero = self.bits(0);
        self.b.compare(Compare::Ne, low, zero)
    }

    /// The reduction for |x| beyond the fast limit; NaN for ∞. Other x give anything, without harm.
    pub fn reduce_large(&mut self, x: Val) -> Quadrant {
        let mantissa = i64::from(self.format.mantissa);
        let magnitude = self.abs(x);
        let bits = self.bits_of(magnitude);
        let exponent = self.bits_op(Binary::ShiftRight, bits, mantissa);
        // e − 2, and the table begins with a zero limb.
        let offset = self.format.bias + mantissa + 2 - self.limb_bits();
        let place = self.bits_op(Binary::Sub, exponent, offset);
        let multiplier = self.multiplier(bits, place);
        let window = self.window(place);
        let fraction = self.fraction(&multiplier, &window);
        let Quadrant { n, r, low } = self.nearest_quadrant(fraction);
        // −x = −n·π/2 − r
        let sign = self.sign_bits(x);
        let (r, low) = (self.xor_bits(r, sign), self.xor_bits(low, sign));
        let zero = self.bits(0);
        let negated = self.b.sub(zero, n);
        let is_negative = self.compare_c(Compare::Lt, x, 0.0);
        let n = self.select(is_negative, negated, n);
        let is_finite = self.compare_c(Compare::Lt, magnitude, f64::INFINITY);
        let nan = self.c(f64::NAN);
        Quadrant { n, r: self.select(is_finite, r, nan), low }
    }

    /// m·2^q in three limbs, lowest first.
    fn multiplier(&mut self, bits: Val, place: Val) -> [Val; 3] {
        let mantissa = self.format.mantissa;
        let stored = self.bits_op(Binary::And, bits, (1 << mantissa) - 1);
        let m = self.bits_op(Binary::Or, stored, 1 << mantissa);
        let mut power = self.bits(1);
        for bit in 0..self.limb_bits().ilog2() {
            let is_set = self.has_bit(place, bit.into());
            let more = self.bits_op(Binary::ShiftLeft, power, 1 << bit);
            power = self.select(is_set, more, power);
        }
        let (low, high) = (self.low_limb(m), self.high_limb(m));
        let (low, high) = (self.b.mul(low, power), self.b.mul(high, power));
        let carry = self.high_limb(low);
        let rest = self.b.add(high, carry);
        [self.low_limb(low), self.low_limb(rest), self.high_limb(rest)]
    }

    /// The limbs of 2/π from limb j on, where j are the bits of `place` above those of q.
    fn window(&mut self, place: Val) -> Vec<Val> {
        let table = self.format.tables.two_over_pi;
        let mut limbs: Vec<Val> = table.iter().map(|limb| self.bits(*limb)).collect();
        let first = i64::from(self.limb_bits().ilog2());
        let steps = (table.len() - WINDOW).ilog2() as i64;
        for step in (0..=steps).rev() {
            let distance = 1usize << step;
            let is_set = self.has_bit(place, first + step);
            let needed = WINDOW + distance - 1;
            limbs = (0..needed).map(|i| self.select(is_set, limbs[i + distance], limbs[i])).collect();
        }
        limbs
    }

    /// The limbs of multiplier·window after the binary point, highest first, but for a carry into the last.
    fn fraction(&mut self, multiplier: &[Val; 3], window: &[Val]) -> [Val; FRACTION] {
        let mut sums: Vec<Option<Val>> = vec![None; FRACTION + 2];
        for (a, factor) in multiplier.iter().enumerate() {
            for (i, limb) in window.iter().enumerate() {
                // The product's low limb stands at place i − a after the point (0 is the first), its high limb one before.
                let Some(place) = i.checked_sub(a).filter(|place| *place < sums.len()) else { continue };
                let product = self.b.mul(*factor, *limb);
                let low = self.low_limb(product);
                self.accumulate(&mut sums[place], low);
                if place > 0 {
                    let high = self.high_limb(product);
                    self.accumulate(&mut sums[place - 1], high);
                }
            }
        }
        // The products whose low limb stands before the point have their high limb at the point or before it.
        let mut limbs = [self.bits(0); FRACTION];
        let mut carry = None;
        for (place, sum) in sums.into_iter().enumerate().rev() {
            let Some(mut total) = sum else { continue };
            if let Some(carry) = carry {
                total = self.b.add(total, carry);
            }
            carry = Some(self.high_limb(total));
            if let Some(limb) = limbs.get_mut(place) {
                *limb = self.low_limb(total);
            }
        }
        limbs
    }

    fn accumulate(&mut self, sum: &mut Option<Val>, term: Val) {
        *sum = Some(match *sum {
            Some(sum) => self.b.add(sum, term),
            None => term,
        });
    }

    /// n and r from a quarter of x·2/π modulo 1: the top two bits and the next one, which rounds, give n; what is left is the signed rest.
    fn nearest_quadrant(&mut self, fraction: [Val; FRACTION]) -> Quadrant {
        let bits = self.limb_bits();
        let top = fraction[0];
        let rounded = self.bits_op(Binary::Add, top, 1 << (bits - 3));
        let n = self.bits_op(Binary::ShiftRight, rounded, bits - 2);
        // The third bit is the sign of the rest: complement the rest where it is set.
        let is_negative = self.has_bit(top, bits - 3);
        let (ones, zero) = (self.bits((1 << bits) - 1), self.bits(0));
        let flip = self.select(is_negative, ones, zero);
        let mut floats = Vec::with_capacity(fraction.len());
        for (place, limb) in fraction.iter().enumerate() {
            let mut limb = self.b.binary(Binary::Xor, *limb, flip);
            if place == 0 {
                limb = self.bits_op(Binary::And, limb, (1 << (bits - 2)) - 1);
            }
            let float = self.limb_to_float(limb);
            // In quarters of a turn: 4 · limb · 2^(−bits·(place + 1)).
            floats.push(self.mul_c(float, 2f64.powi(2 - bits as i32 * (place as i32 + 1))));
        }
        let Pair { high, low } = self.quarters_to_radians(&floats);
        let sign = self.format.sign();
        let zero = self.bits(0);
        let sign = self.bits(sign);
        let sign = self.select(is_negative, sign, zero);
        Quadrant { n, r: self.xor_bits(high, sign), low: self.xor_bits(low, sign) }
    }

    fn limb_to_float(&mut self, limb: Val) -> Val {
        let less = self.c(2f64.powi(self.format.mantissa as i32));
        self.small_to_float(limb, less)
    }

    /// Σ parts · π/2 for parts of falling magnitude, with little more than one rounding.
    fn quarters_to_radians(&mut self, parts: &[Val]) -> Pair {
        let (head, tail) = match parts {
            [head, tail @ ..] => (*head, tail),
            [] => (self.c(0.0), parts),
        };
        let mut rest = self.c(0.0);
        for part in tail.iter().rev() {
            rest = self.add(*part, rest);
        }
        let sum = self.add(head, rest);
        let lost = self.sub(head, sum);
        let lost = self.add(lost, rest);
        let half_pi = self.format.tables.half_pi;
        let factor = self.c(half_pi[0]);
        let Pair { high, low } = self.product(sum, factor);
        let low = self.mul_add(lost, factor, low);
        let low = self.mul_c_add(sum, half_pi[1], low);
        self.quick_sum(high, low)
    }
}
