//! Ops with regions, evaluated by running the regions.

use super::evaluation::{Evaluation, Plan};
use super::values::Array;
use super::{EvalError, EvalErrorKind};
use crate::{Dim, Graph, Tensor};

fn region(regions: &[Graph], place: usize) -> Result<Plan<'_>, EvalError> {
    let missing = || EvalErrorKind::Internal(format!("region {place} of {}", regions.len()));
    Ok(Plan::new(regions.get(place).ok_or_else(missing)?))
}

/// The value of a bool scalar.
fn truth(tensor: Option<&Tensor>) -> Result<bool, EvalError> {
    let value = tensor.and_then(|tensor| tensor.data().first());
    Ok(*value.ok_or_else(|| EvalErrorKind::Internal("a condition without a value".into()))? != 0)
}

impl Evaluation<'_> {
    /// The region that the condition picks, on the captures.
    pub(super) fn if_else(
        &mut self,
        operands: &[Tensor],
        regions: &[Graph],
    ) -> Result<Vec<Tensor>, EvalError> {
        let chosen = region(regions, usize::from(!truth(operands.first())?))?;
        self.run(&chosen, operands.get(1..).unwrap_or_default())
    }

    /// The body while the condition holds.
    pub(super) fn while_loop(
        &mut self,
        operands: &[Tensor],
        carried: usize,
        trip_limit: &Dim,
        regions: &[Graph],
    ) -> Result<Vec<Tensor>, EvalError> {
        if carried > operands.len() {
            return Err(EvalErrorKind::Internal("a loop with too few operands".into()).into());
        }
        let limit = self.dim(trip_limit)?;
        let (condition, body) = (region(regions, 0)?, region(regions, 1)?);
        let mut values = operands.to_vec();
        let mut trips = 0;
        while truth(self.run(&condition, &values)?.first())? {
            if trips >= limit {
                return Err(EvalErrorKind::TripLimit { limit }.into());
            }
            trips += 1;
            let next = self.run(&body, &values)?;
            values.splice(..carried, next);
        }
        values.truncate(carried);
        Ok(values)
    }

    /// The body on each slice of the scanned values.
    pub(super) fn scan(
        &mut self,
        operands: &[Tensor],
        (carried, scanned): (usize, usize),
        length: &Dim,
        reverse: bool,
        regions: &[Graph],
    ) -> Result<Vec<Tensor>, EvalError> {
        let malformed = || EvalErrorKind::Internal("a scan with too few operands".into());
        let length = usize::try_from(self.dim(length)?).map_err(|_| malformed())?;
        let body = region(regions, 0)?;
        let (mut values, rest) =
            operands.split_at_checked(carried).map(|(a, b)| (a.to_vec(), b)).ok_or_else(malformed)?;
        let (sequences, captures) = rest.split_at_checked(scanned).ok_or_else(malformed)?;
        let slice_types = self.slice_types(&body, carried)?;
        let mut stacked: Vec<Vec<u8>> = Vec::new();
        for ty in &slice_types {
            self.reserve(ty.elements().saturating_mul(length as u64))?;
            stacked.push(vec![0; ty.elements() as usize * ty.dtype.bytes() * length]);
        }
        for trip in 0..length {
            let place = if reverse { length - 1 - trip } else { trip };
            let slices = sequences.iter().map(|sequence| slice(sequence, place));
            values.extend(slices.collect::<Result<Vec<_>, _>>()?);
            values.extend_from_slice(captures);
            let mut next = self.run(&body, &values)?;
            for (stack, output) in stacked.iter_mut().zip(next.drain(carried.min(next.len())..)) {
                let bytes = output.data().len();
                stack[place * bytes..(place + 1) * bytes].copy_from_slice(output.data());
            }
            values = next;
        }
        for (data, mut ty) in stacked.into_iter().zip(slice_types) {
            ty.shape.insert(0, length);
            values.push(ty.tensor(data.into())?);
        }
        Ok(values)
    }

    /// The types of what a scan's body adds to its stacked results.
    fn slice_types(&self, body: &Plan<'_>, carried: usize) -> Result<Vec<Array>, EvalError> {
        let outputs = body.graph.results().iter().skip(carried);
        outputs
            .map(|output| self.array(body.graph.ty(*output)))
            .collect::<Result<_, _>>()
            .map_err(EvalError::from)
    }
}

/// Slice `place` of the leading dimension.
fn slice(sequence: &Tensor, place: usize) -> Result<Tensor, EvalErrorKind> {
    let Some((_, shape)) = sequence.shape().split_first() else {
        return Err(EvalErrorKind::Internal("a scan over a scalar".into()));
    };
    let bytes = shape.iter().product::<usize>() * sequence.dtype().bytes();
    let too_short = || EvalErrorKind::Internal("a scan over too few slices".into());
    let range = place * bytes..(place + 1) * bytes;
    if range.end > sequence.data().len() {
        return Err(too_short());
    }
    Tensor::new(sequence.dtype(), shape.to_vec(), sequence.data().slice(range)).map_err(|_| too_short())
}
