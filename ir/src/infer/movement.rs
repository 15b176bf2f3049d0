//! Movement: elements change their places or are repeated.

use super::check::{self, Extents};
use super::{ResultTypes, Rule, window};
use crate::{DType, Dim, Shape, Symbol, TensorType};

pub fn reshape(shape: &[Dim], operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    let (before, after) = (check::elements(&x.shape)?, check::elements(shape)?);
    match before == after {
        true => check::tensor(x.dtype, shape),
        false => {
            Err(format!("can't give {x} the shape {}: {before} elements are not {after}", Extents(shape)))
        }
    }
}

pub fn transpose(permutation: &[usize], operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::per_dimension("permutation", permutation, x.rank())?;
    check::distinct_axes("dimension", permutation, x)?;
    check::tensor(x.dtype, permutation.iter().map(|axis| x.shape[*axis].clone()).collect::<Shape>())
}

pub fn broadcast(shape: &[Dim], dimensions: &[usize], operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::per_dimension("dimensions", dimensions, x.rank())?;
    if !dimensions.is_sorted_by(|a, b| a < b) {
        return Err(format!("the dimensions {dimensions:?} must be strictly increasing"));
    }
    for (from, to) in x.shape.iter().zip(dimensions) {
        let Some(extent) = shape.get(*to) else {
            return Err(format!("dimension {to} is not below the rank of {}", Extents(shape)));
        };
        if !from.is(1) && from != extent {
            return Err(format!("can't repeat extent {from} of {x} to {extent}"));
        }
    }
    check::tensor(x.dtype, shape)
}

pub fn slice(start: &[Dim], limit: &[Dim], stride: &[i64], operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::per_dimension("start", start, x.rank())?;
    check::per_dimension("limit", limit, x.rank())?;
    check::per_dimension("stride", stride, x.rank())?;
    let mut shape = Shape::new();
    for (axis, extent) in x.shape.iter().enumerate() {
        let (start, limit, stride) = (&start[axis], &limit[axis], stride[axis]);
        check::amount("start", start)?;
        check::amount("limit", limit)?;
        check::count("a stride", stride, 1)?;
        if start.upper() < 0 {
            return Err(format!("start {start} of dimension {axis} is negative"));
        }
        check::at_most(&format!("limit of dimension {axis}"), limit, extent)?;
        check::at_most(&format!("start of dimension {axis}"), start, limit)?;
        shape.push((limit - start).ceil_div(&Dim::from(stride)));
    }
    check::tensor(x.dtype, shape)
}

pub fn bind_extent(symbol: &Symbol, axes: &[usize], operands: &[&TensorType]) -> Result<ResultTypes, String> {
    let [count, tensors @ ..] = operands else { return Err("takes a count".into()) };
    check::is_type("the count", count, &TensorType::scalar(DType::I64))?;
    if axes.len() != tensors.len() {
        return Err(format!("`axes` has {} entries for {} tensors", axes.len(), tensors.len()));
    }
    let mut types = ResultTypes::new();
    for (axis, x) in axes.iter().zip(tensors) {
        check::axis("axis", *axis, x)?;
        let mut ty = (*x).clone();
        ty.shape[*axis] = Dim::from(symbol);
        types.push(ty);
    }
    Ok(types)
}

pub fn pad(low: &[Dim], high: &[Dim], interior: &[i64], operands: &[&TensorType]) -> Rule {
    let [x, value] = check::operands(operands)?;
    check::is_type("the padding value", value, &TensorType::scalar(x.dtype))?;
    check::per_dimension("low", low, x.rank())?;
    check::per_dimension("high", high, x.rank())?;
    check::per_dimension("interior", interior, x.rank())?;
    let mut shape = Shape::new();
    for (axis, extent) in x.shape.iter().enumerate() {
        check::count("interior padding", interior[axis], 0)?;
        shape.push(window::padded(extent, interior[axis] + 1, &low[axis], &high[axis])?);
    }
    check::tensor(x.dtype, shape)
}

pub fn concat(axis: usize, operands: &[&TensorType]) -> Rule {
    let [first, rest @ ..] = operands else { return Err("takes at least 1 operand, not 0".into()) };
    check::axis("axis", axis, first)?;
    let mut joined = (*first).clone();
    for other in rest {
        let fits = other.dtype == first.dtype
            && other.rank() == first.rank()
            && (0..first.rank()).all(|place| place == axis || other.shape[place] == first.shape[place]);
        if !fits {
            return Err(format!("can't join {first} and {other} along dimension {axis}"));
        }
        joined.shape[axis] = &joined.shape[axis] + &other.shape[axis];
        check::simple(&joined.shape[axis])?;
    }
    Ok(joined)
}

pub fn reverse(axes: &[usize], operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::distinct_axes("axis", axes, x)?;
    Ok(x.clone())
}

pub fn relayout(operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    Ok(x.clone())
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{DType, Dim, MAX_ELEMENTS, Op, Symbol};

    #[test]
    fn reshape_keeps_the_number_of_elements() {
        let to = |shape: &[Dim]| Op::Reshape { shape: shape.to_vec() };
        let x = ty(DType::F32, [n(), d(6)]);
        good(to(&[n() * 2, d(3)]), &[&x], ty(DType::F32, [n() * 2, d(3)]));
        good(to(&[n() * 6]), &[&x], ty(DType::F32, [n() * 6]));
        good(to(&[]), &[&f32s([1, 1])], f32s([]));
        good(to(&[d(0), d(7)]), &[&f32s([3, 0])], f32s([0, 7]));
        bad(to(&[n(), d(5)]), &[&x], "can't give f32[N, 6] the shape [N, 5]: 6*N elements are not 5*N");
        bad(to(&[d(-2), d(-3)]), &[&f32s([6])], "negative extent -2");
        bad(to(&[d(2)]), &[], "takes 1 operands");
    }

    #[test]
    fn reshape_refuses_polynomials_that_explode() {
        let sum = |axis: usize| {
            let symbol = |place| Dim::from(Symbol::new(format!("s{axis}_{place}"), 0, 1));
            (0..6).map(symbol).fold(Dim::ONE, |sum, symbol| sum + symbol)
        };
        let shape: Vec<Dim> = (0..8).map(sum).collect();
        let x = crate::TensorType::new(DType::F32, shape.clone());
        bad(Op::Reshape { shape }, &[&x], "more than 256 symbols");
    }

    #[test]
    fn transpose_permutes() {
        let by = |permutation: &[usize]| Op::Transpose { permutation: permutation.to_vec() };
        let x = ty(DType::F32, [n(), d(3), d(5)]);
        good(by(&[2, 0, 1]), &[&x], ty(DType::F32, [d(5), n(), d(3)]));
        bad(by(&[0, 1]), &[&x], "`permutation` has 2 entries for 3 dimensions");
        bad(by(&[0, 1, 1]), &[&x], "dimension 1 is listed twice");
        bad(by(&[0, 1, 3]), &[&x], "dimension 3 is not below the rank");
    }

    #[test]
    fn broadcast_repeats_ones() {
        let to = |shape: &[Dim], dimensions: &[usize]| Op::Broadcast {
            shape: shape.to_vec(),
            dimensions: dimensions.to_vec(),
        };
        good(to(&[n(), d(4), d(3)], &[1, 2]), &[&f32s([1, 3])], ty(DType::F32, [n(), d(4), d(3)]));
        good(to(&[n(), d(4)], &[0]), &[&ty(DType::F32, [n()])], ty(DType::F32, [n(), d(4)]));
        good(to(&[d(0)], &[0]), &[&f32s([1])], f32s([0]));
        bad(to(&[d(4), d(3)], &[0, 1]), &[&f32s([2, 3])], "can't repeat extent 2 of f32[2, 3] to 4");
        bad(to(&[d(3), d(1)], &[1, 0]), &[&f32s([1, 3])], "must be strictly increasing");
        bad(to(&[d(1), d(3)], &[0, 2]), &[&f32s([1, 3])], "dimension 2 is not below the rank of [1, 3]");
        bad(to(&[d(3)], &[]), &[&f32s([3])], "`dimensions` has 0 entries for 1 dimensions");
        bad(to(&[d(MAX_ELEMENTS + 1)], &[0]), &[&f32s([1])], "may have more than");
    }

    #[test]
    fn slice_counts_steps() {
        let of = |start: Dim, limit: Dim, stride| Op::Slice {
            start: vec![start],
            limit: vec![limit],
            stride: vec![stride],
        };
        good(of(d(1), d(8), 3), &[&f32s([8])], f32s([3]));
        good(of(d(2), d(2), 1), &[&f32s([8])], f32s([0]));
        good(of(d(1), n(), 1), &[&ty(DType::F32, [n()])], ty(DType::F32, [n() - 1]));
        // N may be below 5, so that only the symbol's value decides.
        good(of(d(5), n(), 1), &[&ty(DType::F32, [n()])], ty(DType::F32, [n() - 5]));
        bad(of(d(-1), d(8), 1), &[&f32s([8])], "start -1 of dimension 0 is negative");
        bad(of(d(0), d(9), 1), &[&f32s([8])], "limit of dimension 0 is 9, which is more than 8");
        bad(of(d(0), n() + 1, 1), &[&ty(DType::F32, [n()])], "limit of dimension 0 is N + 1");
        bad(of(d(5), d(4), 1), &[&f32s([8])], "start of dimension 0 is 5, which is more than 4");
        bad(of(d(0), d(4), 0), &[&f32s([8])], "a stride is 0 but must be at least 1");
        bad(of(d(0), d(4), i64::MAX), &[&f32s([8])], "must be at most");
        bad(of(d(i64::MIN), d(4), 1), &[&f32s([8])], "may be beyond");
        bad(of(d(0), d(4), 1), &[&f32s([8, 1])], "`start` has 1 entries for 2 dimensions");
    }

    #[test]
    fn pad_adds_and_cuts() {
        let by = |low: Dim, high: Dim, interior| Op::Pad {
            low: vec![low],
            high: vec![high],
            interior: vec![interior],
        };
        let zero = f32s([]);
        good(by(d(1), d(2), 0), &[&f32s([5]), &zero], f32s([8]));
        good(by(d(-1), d(2), 2), &[&f32s([5]), &zero], f32s([14]));
        good(by(d(-5), d(0), 0), &[&f32s([5]), &zero], f32s([0]));
        good(by(d(0), d(0), 3), &[&f32s([0]), &zero], f32s([0]));
        good(by(n(), d(-2), 0), &[&f32s([5]), &zero], ty(DType::F32, [n() + 3]));
        // Negative for N = 1, 2: accepted, decided by the symbol's value.
        good(by(d(-3), d(0), 0), &[&ty(DType::F32, [n()]), &zero], ty(DType::F32, [n() - 3]));
        bad(by(d(-4), d(-2), 0), &[&f32s([5]), &zero], "negative extent -1");
        bad(by(d(0), d(0), -1), &[&f32s([5]), &zero], "interior padding is -1");
        bad(by(d(i64::MAX), d(i64::MIN), 0), &[&f32s([5]), &zero], "may be beyond");
        bad(by(d(0), d(0), MAX_ELEMENTS), &[&f32s([1 << 30]), &zero], "may be beyond");
        bad(by(d(0), d(0), 0), &[&f32s([5]), &f32s([1])], "the padding value must be f32[], not f32[1]");
        bad(by(d(0), d(0), 0), &[&f32s([5]), &i64s([])], "the padding value must be f32[], not i64[]");
        bad(by(d(0), d(0), 0), &[&f32s([5, 5]), &zero], "`low` has 1 entries for 2 dimensions");
    }

    #[test]
    fn concat_adds_extents() {
        let along = |axis| Op::Concat { axis };
        let (x, y) = (ty(DType::F32, [d(2), n()]), f32s([2, 3]));
        good(along(1), &[&x, &y, &x], ty(DType::F32, [d(2), n() * 2 + 3]));
        good(along(0), &[&y], y.clone());
        bad(along(0), &[&x, &y], "can't join f32[2, N] and f32[2, 3] along dimension 0");
        bad(along(2), &[&x, &y], "axis 2 is not below the rank");
        bad(along(0), &[], "takes at least 1 operand");
        bad(along(0), &[&f32s([2]), &i64s([2])], "can't join");
        bad(along(0), &[&f32s([2]), &f32s([2, 2])], "can't join");
        bad(along(0), &[&f32s([])], "axis 0 is not below the rank");
    }

    #[test]
    fn reverse_and_relayout_keep_the_type() {
        good(Op::Reverse { axes: vec![1, 0] }, &[&f32s([2, 3])], f32s([2, 3]));
        bad(Op::Reverse { axes: vec![1, 1] }, &[&f32s([2, 3])], "axis 1 is listed twice");
        bad(Op::Reverse { axes: vec![2] }, &[&f32s([2, 3])], "axis 2 is not below the rank");
        good(Op::Relayout, &[&f32s([2, 3])], f32s([2, 3]));
        bad(Op::Relayout, &[], "takes 1 operands");
    }
}
