//! A trial run of the evaluation: every index expression that it asks for, and what it loads.

use super::{Context, Draft, Part, shifted};
use crate::form::FormError;
use crate::form::domain::Domain;
use crate::form::group::Group;
use crate::form::view::store;
use crate::kernel::BufferId;
use graven_ir::Dim;

/// Trial runs at most: each may show more coordinates to cut.
const ROUNDS: usize = 3;

/// What evaluating a part accesses, as expressions over the placeholders of its domain.
pub struct Accesses {
    /// Addresses of loads from the group's operands.
    pub loads: Vec<Dim>,
}

impl Accesses {
    /// Cuts and merges the domain's coordinates as the accesses want it.
    pub fn of(
        group: &Group,
        context: &Context,
        part: &Part,
        domain: &mut Domain,
    ) -> Result<Accesses, FormError> {
        let mut rank = domain.rank();
        let mut trace = Trace::of(group, context, part, domain)?;
        for _ in 1..ROUNDS {
            domain.split(&trace.indices);
            if domain.rank() == rank {
                break;
            }
            rank = domain.rank();
            trace = Trace::of(group, context, part, domain)?;
        }
        domain.merge(&trace.indices);
        // The placeholders of merged coordinates are those of their innermost parts, along which addresses step as before.
        Ok(Accesses { loads: trace.loads.into_iter().map(|(_, address)| address).collect() })
    }
}

struct Trace {
    indices: Vec<Dim>,
    loads: Vec<(BufferId, Dim)>,
}

impl Trace {
    /// Runs the evaluation at the placeholders in a kernel that is thrown away.
    fn of(group: &Group, context: &Context, part: &Part, domain: &Domain) -> Result<Trace, FormError> {
        let mut draft = Draft::new("trial", group, context);
        let index = shifted(domain.symbolic_index(), &part.offset);
        draft.builder.start_trace();
        draft.evaluator.start_recording();
        for (n, value) in part.results.iter().zip(&part.values) {
            let view = draft.result(group, context, *n);
            let Draft { builder, evaluator, .. } = &mut draft;
            let result = evaluator.value(builder, *value, &index)?;
            store(builder, &view, &shifted(&index, &part.start), None, result);
        }
        Ok(Trace { indices: draft.builder.take_trace(), loads: draft.evaluator.take_loads() })
    }
}
