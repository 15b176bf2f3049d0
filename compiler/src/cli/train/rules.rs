//! How optimisers and schedules are written on the command line.

use crate::train::{Optimizer, Schedule};
use clap::ValueEnum;

/// Update rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OptimizerName {
    /// Gradient descent
    Sgd,
    /// Gradient descent with momentum
    Momentum,
    /// Gradient descent with Nesterov's momentum
    Nesterov,
    /// Adagrad
    Adagrad,
    /// RMSprop
    Rmsprop,
    /// Adam
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
}

impl OptimizerName {
    /// The rule, with its usual constants where none are given.
    pub(super) fn rule(self, momentum: Option<f64>, weight_decay: Option<f64>) -> Optimizer {
        let sgd = |momentum, nesterov| Optimizer::Sgd {
            momentum,
            nesterov,
            weight_decay: weight_decay.unwrap_or(0.0),
        };
        let decay = weight_decay.unwrap_or(0.0);
        match self {
            OptimizerName::Sgd => sgd(momentum.unwrap_or(0.0), false),
            OptimizerName::Momentum => sgd(momentum.unwrap_or(0.9), false),
            OptimizerName::Nesterov => sgd(momentum.unwrap_or(0.9), true),
            OptimizerName::Adagrad => Optimizer::Adagrad { epsilon: 1e-10, weight_decay: decay },
            OptimizerName::Rmsprop => Optimizer::RmsProp {
                decay: 0.99,
                epsilon: 1e-8,
                momentum: momentum.unwrap_or(0.0),
                weight_decay: decay,
            },
            OptimizerName::Adam => {
                Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: decay, decoupled: false }
            }
            OptimizerName::Adamw => {
                let weight_decay = weight_decay.unwrap_or(0.01);
                Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay, decoupled: true }
            }
        }
    }

    /// The usual learning rate.
    pub(super) fn learning_rate(self) -> f64 {
        match self {
            OptimizerName::Sgd
            | OptimizerName::Momentum
            | OptimizerName::Nesterov
            | OptimizerName::Adagrad => 0.01,
            OptimizerName::Rmsprop | OptimizerName::Adam | OptimizerName::Adamw => 0.001,
        }
    }
}

/// A schedule whose length may be that of the training.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ScheduleName {
    /// One that needs nothing else.
    Known(Schedule),
    /// Cosine annealing over all steps, down to a factor.
    Cosine(f64),
    /// Linear warm-up, then another one.
    Warmup(u64, Box<ScheduleName>),
}

impl ScheduleName {
    /// Whether it depends on the number of steps.
    pub(super) fn needs_length(&self) -> bool {
        match self {
            ScheduleName::Known(_) => false,
            ScheduleName::Cosine(_) => true,
            ScheduleName::Warmup(_, then) => then.needs_length(),
        }
    }

    /// The schedule for so many steps.
    pub(super) fn over(&self, steps: u64) -> Schedule {
        match self {
            ScheduleName::Known(schedule) => schedule.clone(),
            ScheduleName::Cosine(minimum) => Schedule::Cosine { steps: steps.max(1), minimum: *minimum },
            ScheduleName::Warmup(rise, then) => {
                Schedule::Warmup { steps: *rise, then: Box::new(then.over(steps.saturating_sub(*rise))) }
            }
        }
    }
}

const FORMS: &str =
    "expected constant, step:EVERY:GAMMA, exponential:EVERY:GAMMA, cosine, cosine:MINIMUM or warmup:STEPS,…";

/// `constant`, `step:1000:0.5`, `exponential:100:0.9`, `cosine`, `cosine:0.1`, `warmup:500,cosine`.
pub(super) fn parse_schedule(text: &str) -> Result<ScheduleName, String> {
    if let Some(rest) = text.strip_prefix("warmup:") {
        let (steps, then) = rest.split_once(',').unwrap_or((rest, "constant"));
        return Ok(ScheduleName::Warmup(count(steps)?, Box::new(parse_schedule(then)?)));
    }
    let words: Vec<&str> = text.split(':').collect();
    match words[..] {
        ["constant"] => Ok(ScheduleName::Known(Schedule::Constant)),
        ["step", every, gamma] => {
            Ok(ScheduleName::Known(Schedule::Step { every: count(every)?, gamma: factor(gamma)? }))
        }
        ["exponential", every, gamma] => {
            Ok(ScheduleName::Known(Schedule::Exponential { every: count(every)?, gamma: factor(gamma)? }))
        }
        ["cosine"] => Ok(ScheduleName::Cosine(0.0)),
        ["cosine", minimum] => Ok(ScheduleName::Cosine(factor(minimum)?)),
        _ => Err(FORMS.into()),
    }
}

fn count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|steps| *steps > 0).ok_or_else(|| FORMS.into())
}

fn factor(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 0.0).ok_or_else(|| FORMS.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let step = Schedule::Step { every: 1000, gamma: 0.5 };
        assert_eq!(parse_schedule("step:1000:0.5"), Ok(ScheduleName::Known(step)));
        let warm = parse_schedule("warmup:10,cosine:0.1").unwrap().over(110);
        let cosine = Schedule::Cosine { steps: 100, minimum: 0.1 };
        assert_eq!(warm, Schedule::Warmup { steps: 10, then: Box::new(cosine) });
        for text in ["", "step", "step:0:1", "step:5:x", "cosine:-1", "warmup:x,cosine", "linear"] {
            assert!(parse_schedule(text).is_err(), "{text}");
        }
    }
}
