//! Ops with regions. What a region uses from outside are its parameters, in the order of the operands.

use super::{ResultTypes, check};
use crate::{DType, Dim, Graph, TensorType, ValueId};
use smallvec::SmallVec;

/// The types of a region's parameters and results.
struct Signature {
    params: Vec<TensorType>,
    results: Vec<TensorType>,
}

fn signature(region: &Graph) -> Result<Signature, String> {
    let types = |values: &[ValueId]| {
        let ty = |value: &ValueId| region.get_value(*value).map(|value| value.ty.clone());
        values.iter().map(ty).collect::<Option<Vec<_>>>()
    };
    match (types(region.params()), types(region.results())) {
        (Some(params), Some(results)) => Ok(Signature { params, results }),
        _ => Err("a region has parameters or results that are no values".into()),
    }
}

/// The result types of `region`, whose parameters must have the types of `operands`.
fn results(what: &str, region: &Graph, operands: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let Signature { params, results } = signature(region)?;
    let operands: Vec<TensorType> = operands.iter().map(|ty| (*ty).clone()).collect();
    check::same_types(&format!("the parameters of the {what}"), &params, &operands)?;
    Ok(results)
}

fn is_condition(what: &str, types: &[TensorType]) -> Result<(), String> {
    match types {
        [ty] if *ty == TensorType::scalar(DType::Bool) => Ok(()),
        _ => Err(format!("the {what} must give one bool[]")),
    }
}

pub fn conditional(operands: &[&TensorType], regions: &[Graph]) -> Result<ResultTypes, String> {
    let ([condition, captures @ ..], [then_region, else_region]) = (operands, regions) else {
        return Err("takes a condition".into());
    };
    check::is_type("the condition", condition, &TensorType::scalar(DType::Bool))?;
    let then_results = results("then region", then_region, captures)?;
    let else_results = results("else region", else_region, captures)?;
    check::same_types("the results of the else region", &else_results, &then_results)?;
    Ok(then_results.into())
}

fn cloned(types: &[&TensorType]) -> SmallVec<[TensorType; 1]> {
    types.iter().map(|ty| (*ty).clone()).collect()
}

pub fn while_loop(
    carried: usize,
    trip_limit: &Dim,
    operands: &[&TensorType],
    regions: &[Graph],
) -> Result<ResultTypes, String> {
    let (Some(initial), [condition, body]) = (operands.get(..carried), regions) else {
        return Err(format!("carries {carried} values but has only {} operands", operands.len()));
    };
    check::simple(trip_limit)?;
    if trip_limit.upper() < 0 {
        return Err(format!("the trip limit {trip_limit} is negative"));
    }
    is_condition("condition region", &results("condition region", condition, operands)?)?;
    let carried = cloned(initial);
    let next = results("body", body, operands)?;
    check::same_types("the results of the body, which become the carried values", &next, &carried)?;
    Ok(carried)
}

pub fn scan(
    carried: usize,
    scanned: usize,
    length: &Dim,
    operands: &[&TensorType],
    regions: &[Graph],
) -> Result<ResultTypes, String> {
    let [body] = regions else { return Err("has one region".into()) };
    let sequences = carried.checked_add(scanned).and_then(|end| operands.get(carried..end));
    let Some(sequences) = sequences else {
        return Err(format!("carries {carried} and scans {scanned} values of {} operands", operands.len()));
    };
    check::simple(length)?;
    if length.upper() < 0 {
        return Err(format!("the length {length} is negative"));
    }
    let mut slices = Vec::new();
    for sequence in sequences {
        let Some((first, rest)) = sequence.shape.split_first() else {
            return Err(format!("a scanned value must have a dimension to scan, not {sequence}"));
        };
        check::same_extent("the leading extent of a scanned value and the length", first, length)?;
        slices.push(TensorType { dtype: sequence.dtype, shape: rest.into() });
    }
    let (before, after) = (&operands[..carried], &operands[carried + scanned..]);
    let params: Vec<&TensorType> =
        before.iter().copied().chain(&slices).chain(after.iter().copied()).collect();
    let outputs = results("body", body, &params)?;
    let (Some(next), Some(stacked)) = (outputs.get(..carried), outputs.get(carried..)) else {
        return Err(format!("carries {carried} values but the body gives only {}", outputs.len()));
    };
    let mut types = cloned(before);
    check::same_types("the first results of the body, which become the carried values", next, &types)?;
    for output in stacked {
        let shape = std::iter::once(length).chain(&output.shape).cloned().collect();
        types.push(TensorType { dtype: output.dtype, shape });
    }
    Ok(types)
}

pub fn fuse(operands: &[&TensorType], regions: &[Graph]) -> Result<ResultTypes, String> {
    let [body] = regions else { return Err("has one region".into()) };
    Ok(results("region", body, operands)?.into())
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{DType, Dim, FusionKind, Graph, Op, TensorType};

    /// A region whose results are some of its parameters.
    fn region(params: &[&TensorType], results: &[usize]) -> Graph {
        let mut graph = Graph::new();
        let params: Vec<_> = params.iter().map(|ty| graph.add_param((*ty).clone(), None)).collect();
        graph.set_results(results.iter().map(|place| params[*place]).collect());
        graph
    }

    #[test]
    fn branches_agree() {
        let (c, x, y) = (bools([]), f32s([2]), i64s([3]));
        let (first, second) = (region(&[&x, &y], &[0]), region(&[&x, &y], &[1]));
        good_all(Op::If, &[&c, &x, &y], &[first.clone(), first.clone()], std::slice::from_ref(&x));
        bad_all(Op::If, &[&c, &x, &y], &[first.clone(), second], "number 0 is i64[3], not f32[2]");
        bad_all(
            Op::If,
            &[&c, &x],
            &[first.clone(), first.clone()],
            "parameters of the then region: 2 given, 1",
        );
        bad_all(Op::If, &[&c, &y, &x], &[first.clone(), first.clone()], "number 0 is f32[2], not i64[3]");
        bad_all(Op::If, &[&x, &x, &y], &[first.clone(), first.clone()], "the condition must be bool[]");
        bad_all(Op::If, &[], &[first.clone(), first.clone()], "takes a condition");
        bad_all(Op::If, &[&c, &x, &y], &[first], "has 2 regions, not 1");
    }

    #[test]
    fn loops_carry_their_types() {
        let (c, x, y) = (bools([]), f32s([2]), i64s([3]));
        let op = |carried| Op::While { carried, trip_limit: d(10) };
        let condition = region(&[&c, &x, &y], &[0]);
        let body = region(&[&c, &x, &y], &[0, 1]);
        let regions = [condition.clone(), body.clone()];
        good_all(op(2), &[&c, &x, &y], &regions, &[c.clone(), x.clone()]);
        bad_all(op(3), &[&c, &x, &y], &regions, "become the carried values: 2 given, 3 expected");
        bad_all(op(4), &[&c, &x, &y], &regions, "carries 4 values but has only 3 operands");
        bad_all(op(2), &[&c, &x], &regions, "parameters of the condition region: 3 given, 2 expected");
        let numbers = region(&[&c, &x, &y], &[1]);
        bad_all(op(2), &[&c, &x, &y], &[numbers, body.clone()], "the condition region must give one bool[]");
        let negative = Op::While { carried: 2, trip_limit: d(-1) };
        bad_all(negative, &[&c, &x, &y], &regions, "the trip limit -1 is negative");
        bad_all(op(2), &[&c, &x, &y], &[condition], "has 2 regions, not 1");
    }

    #[test]
    fn scans_slice_and_stack() {
        let op = |carried, scanned, length: Dim| Op::Scan { carried, scanned, length, reverse: false };
        let (state, sequence, weight) = (f32s([2]), ty(DType::I64, [n(), d(3)]), f32s([4]));
        let body = region(&[&state, &i64s([3]), &weight], &[0, 1, 2]);
        let operands = [&state, &sequence, &weight];
        let stacked = [state.clone(), ty(DType::I64, [n(), d(3)]), ty(DType::F32, [n(), d(4)])];
        good_all(op(1, 1, n()), &operands, std::slice::from_ref(&body), &stacked);
        let bad_scan = |op, operands: &[&TensorType], reason| {
            bad_all(op, operands, std::slice::from_ref(&body), reason);
        };
        bad_scan(op(1, 1, d(5)), &operands, "must be equal but are N and 5");
        bad_scan(op(1, 3, n()), &operands, "carries 1 and scans 3 values of 3 operands");
        bad_scan(op(usize::MAX, 2, n()), &operands, "values of 3 operands");
        bad_scan(op(1, 1, d(-1)), &operands, "the length -1 is negative");
        bad_scan(op(1, 1, n()), &[&state, &f32s([]), &weight], "must have a dimension to scan");
        bad_scan(op(1, 1, n()), &[&weight, &sequence, &weight], "number 0 is f32[2], not f32[4]");
        let dropping = region(&[&state, &i64s([3]), &weight], &[]);
        bad_all(op(1, 1, n()), &operands, &[dropping], "carries 1 values but the body gives only 0");
        let other = region(&[&state, &i64s([3]), &weight], &[2]);
        bad_all(op(1, 1, n()), &operands, &[other], "carried values: number 0 is f32[4], not f32[2]");
    }

    #[test]
    fn fusion_groups_have_the_results_of_their_region() {
        let op = Op::Fuse { kind: FusionKind::Pointwise };
        let (x, y) = (f32s([2]), i64s([3]));
        let body = region(&[&x, &y], &[1, 0, 1]);
        let results = [y.clone(), x.clone(), y.clone()];
        good_all(op.clone(), &[&x, &y], std::slice::from_ref(&body), &results);
        bad_all(op.clone(), &[&y, &x], std::slice::from_ref(&body), "number 0 is f32[2], not i64[3]");
        bad_all(op, &[&x, &y], &[], "has 1 regions, not 0");
        bad_all(Op::Select, &[], &[body], "has 0 regions, not 1");
    }
}
