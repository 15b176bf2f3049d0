//! A group's launches.

use super::Lowering;
use super::scope::Scope;
use crate::form::FormError;
use crate::form::group::Group;
use crate::form::layout::Layout;
use crate::form::schedule::{Argument, Context, FALLBACK, fill, schedule};
use crate::kernel::Kernel;
use crate::program::{KernelId, Launch, SlotId, Step};
use graven_ir::{Dim, FusionKind, TensorType};

impl Lowering<'_> {
    pub(super) fn group(&mut self, scope: &mut Scope<'_>, group: Group) -> Result<(), FormError> {
        let context = Context {
            target: self.target,
            constants: &self.module.constants,
            operands: group.operands.iter().map(|value| scope.layout(*value)).collect(),
            results: group.results.iter().map(|value| scope.layout(*value)).collect(),
            views: group.operands.iter().map(|value| self.constant(scope, *value)).collect(),
        };
        let (name, scheduled) = schedule(&group, &context)?;
        let special = matches!(group.kind, FusionKind::Dot | FusionKind::Conv | FusionKind::Reduction);
        let place = group.origin.clone().unwrap_or_else(|| group.kind.name().into());
        match special && name == FALLBACK {
            true => self.remarks.missed_at("form", place, || {
                format!(
                    "no `{}` schedule takes the group: each result is computed by itself",
                    group.kind.name()
                )
            }),
            false => self.remarks.applied_at("form", place, || format!("`{name}` schedule")),
        }
        for result in &group.results {
            let slot = self.result_slot(scope, *result);
            let (ty, layout) = (scope.graph.ty(*result), scope.layout(*result));
            if layout.has_zeros(&ty.shape) {
                self.zeros(slot, ty, &layout);
            }
        }
        for part in scheduled {
            let mut arguments = Vec::with_capacity(part.arguments.len());
            for argument in &part.arguments {
                arguments.push(self.argument(scope, &group, argument)?);
            }
            let extents: Vec<Dim> = part.kernel.extents.iter().map(|(symbol, _)| Dim::from(symbol)).collect();
            extents.iter().try_for_each(|extent| self.known(extent))?;
            let kernel = self.kernel(part.kernel);
            let launch = Launch { kernel, arguments, extents, cost: part.cost, origin: group.origin.clone() };
            self.steps.push(Step::Launch(launch));
        }
        Ok(())
    }

    /// Sets the zeros of a slot, before the kernels that write between them.
    fn zeros(&mut self, slot: SlotId, ty: &TensorType, layout: &Layout) {
        for (kernel, cost) in fill::zeros(ty, layout, self.target) {
            let extents = kernel.extents.iter().map(|(symbol, _)| Dim::from(symbol)).collect();
            let kernel = self.kernel(kernel);
            let launch = Launch { kernel, arguments: vec![slot], extents, cost, origin: None };
            self.steps.push(Step::Launch(launch));
        }
    }

    fn argument(
        &mut self,
        scope: &Scope<'_>,
        group: &Group,
        argument: &Argument,
    ) -> Result<SlotId, FormError> {
        match argument {
            Argument::Operand(n) => self.slot(scope, group.operands[*n]),
            Argument::Result(n) => self.slot(scope, group.results[*n]),
            Argument::Packed { operand, packing } => {
                let Some(view) = self.constant(scope, group.operands[*operand]) else {
                    return Err(FormError::internal("a packed operand is no constant"));
                };
                Ok(self.packed(view.id, packing))
            }
        }
    }

    fn kernel(&mut self, mut kernel: Kernel) -> KernelId {
        let name = std::mem::take(&mut kernel.name);
        if let Some(id) = self.kernels.get(&kernel) {
            return *id;
        }
        self.program.scratch_bytes = self.program.scratch_bytes.max(kernel.scratch_bytes());
        let id = self.program.kernels.push(kernel.clone());
        self.program.kernels[id].name = format!("{name}_{}", id.as_u32());
        self.kernels.insert(kernel, id);
        id
    }
}
