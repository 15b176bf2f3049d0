//! Random structures from a list of numbers, so that a failing list shrinks to a small structure.

/// How many random structures a test tries: `default`, unless the environment variable `PROPTEST_CASES` names another number.
pub fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// The numbers that decide; 0 when they are used up.
#[derive(Clone, Debug)]
pub struct Choices {
    numbers: Vec<u32>,
    next: usize,
}

impl Choices {
    /// Choices by these numbers.
    pub fn new(numbers: Vec<u32>) -> Choices {
        Choices { numbers, next: 0 }
    }

    /// The next number.
    pub fn number(&mut self) -> u32 {
        self.next += 1;
        self.numbers.get(self.next - 1).copied().unwrap_or(0)
    }

    /// Whether all numbers are used.
    pub fn is_used_up(&self) -> bool {
        self.next >= self.numbers.len()
    }

    /// A number below `count`, which is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        self.number() as usize % count.max(1)
    }

    /// One of some things.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Whether one of `of` possibilities is met.
    pub fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }
}
