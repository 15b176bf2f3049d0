//! Memory accesses, loops and branches.

use super::{Frame, KernelBuilder, OpenLoop};
use crate::kernel::{Access, Address, Block, BufferId, Carried, Compare, For, If, Spread, Stmt, Type, Val};
use graven_ir::{Dim, Symbol};

impl KernelBuilder {
    /// The address of an element, its constant part as the offset.
    pub fn address(&mut self, buffer: BufferId, element: &Dim) -> Address {
        let offset = element.constant();
        let index = self.index(&(element - offset));
        Address { buffer, index, offset }
    }

    /// Loads a value of type `ty`. What the kernel only reads is loaded in the outermost block where the address is known, once per block.
    pub fn load(
        &mut self,
        buffer: BufferId,
        element: &Dim,
        ty: Type,
        spread: Spread,
        mask: Option<Val>,
    ) -> Val {
        let address = self.address(buffer, element);
        if self.buffers[buffer].access != Access::Read {
            let result = self.define(ty, self.depth());
            self.emit(Stmt::Load { result, address, spread, mask });
            return result;
        }
        let depth = self.load_depth(&address, element, (ty, spread, mask));
        let key = (address, spread, mask, ty);
        if let Some(known) = self.frames[depth].loads.get(&key) {
            return *known;
        }
        let result = self.define(ty, depth);
        self.frames[depth].stmts.push(Stmt::Load { result, address, spread, mask });
        self.frames[depth].loads.insert(key, result);
        result
    }

    /// The outermost block where a load can be. It does not leave a branch, nor a loop that may have no trip unless the place is within the buffer whatever
    /// the trip.
    fn load_depth(
        &self,
        address: &Address,
        element: &Dim,
        (ty, spread, mask): (Type, Spread, Option<Val>),
    ) -> usize {
        let operands = [Some(address.index), mask, spread.indices()];
        let known = operands.into_iter().flatten().map(|value| self.depths[value]).max().unwrap_or(0);
        let reach = match spread {
            Spread::Contiguous => Some(i64::from(ty.lanes) - 1),
            Spread::Broadcast => Some(0),
            Spread::Strided(_) | Spread::Gathered(_) => None,
        };
        let end = self.buffers[address.buffer].elements.lower();
        let (low, high) = element.bounds();
        let within = low >= 0 && reach.is_some_and(|reach| high.saturating_add(reach) < end);
        let stays = |frame: &Frame| frame.conditional || (frame.may_be_empty && !within);
        let confined = self.frames.iter().rposition(stays).unwrap_or(0);
        known.max(confined)
    }

    /// Stores a value.
    pub fn store(&mut self, value: Val, buffer: BufferId, element: &Dim, spread: Spread, mask: Option<Val>) {
        let address = self.address(buffer, element);
        self.emit(Stmt::Store { value, address, spread, mask });
    }

    /// Asks for the cache line of an element.
    pub fn prefetch(&mut self, buffer: BufferId, element: &Dim) {
        let address = self.address(buffer, element);
        self.emit(Stmt::Prefetch { address });
    }

    /// Reports `code` unless the scalar condition holds. Like an operation, it is done where the condition is known, once, but within the task.
    pub fn check(&mut self, condition: Val, code: i32) {
        let stays = |frame: &Frame| frame.conditional || frame.may_be_empty;
        let confined = self.frames.iter().rposition(stays).unwrap_or(0);
        let depth = self.depths[condition].max(confined).max(1).min(self.depth());
        if self.frames[depth].checks.insert((condition, code)) {
            self.frames[depth].stmts.push(Stmt::Check { condition, code });
        }
    }

    /// A loop `for i in lower..upper step step` with carried values. `body` gets the variable as a dim and the carried values, and gives
    /// the next ones; the result is the carried values after the loop. A loop of one trip leaves only its body.
    pub fn for_each(
        &mut self,
        range: (&Dim, &Dim, i64),
        inits: &[Val],
        body: impl FnOnce(&mut KernelBuilder, &Dim, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let nest = self.open_loop(range, inits);
        let yields = body(self, &nest.index, &nest.params);
        self.close_loop(nest, yields)
    }

    /// The kernel's loop over independent tasks.
    pub fn parallel_for(&mut self, count: &Dim, body: impl FnOnce(&mut KernelBuilder, &Dim)) {
        let nest = self.open_parallel(count);
        body(self, &nest.index);
        self.close_loop(nest, Vec::new());
    }

    /// Starts a loop; what is emitted until [`KernelBuilder::close_loop`] is its body.
    pub fn open_loop(&mut self, (lower, upper, step): (&Dim, &Dim, i64), inits: &[Val]) -> OpenLoop {
        if (upper - lower).as_const().is_some_and(|length| (1..=step).contains(&length)) {
            return OpenLoop { index: lower.clone(), params: inits.to_vec(), nest: None };
        }
        self.open_nest((lower, upper, step), inits, false)
    }

    /// Starts the kernel's loop over independent tasks.
    pub fn open_parallel(&mut self, count: &Dim) -> OpenLoop {
        self.open_nest((&Dim::ZERO, count, 1), &[], true)
    }

    fn open_nest(
        &mut self,
        (lower, upper, step): (&Dim, &Dim, i64),
        inits: &[Val],
        parallel: bool,
    ) -> OpenLoop {
        let (low, high) = (self.index(lower), self.index(upper));
        let length = upper - lower;
        let last = match length.as_const() {
            Some(length) => lower.upper().saturating_add((length.max(1) - 1) / step * step),
            None => upper.upper().saturating_sub(1).max(lower.lower()),
        };
        let symbol = Symbol::new(self.fresh_name("i"), lower.lower(), last);
        self.frames.push(Frame { may_be_empty: length.lower() < 1, ..Frame::default() });
        let var = self.define(Type::INDEX, self.depth());
        let params = self.values_like(inits);
        self.symbols.insert(symbol.clone(), (self.frames.len() - 1, var));
        let places = inits.iter().zip(&params);
        let carried =
            places.map(|(init, param)| Carried { init: *init, param: *param, result: *param }).collect();
        let nest = For { var, lower: low, upper: high, step, carried, body: Block::default(), parallel };
        // A symbol with a single value folds to a constant, and the loop's variable stays unused.
        OpenLoop { index: Dim::from(&symbol), params, nest: Some(Box::new(nest)) }
    }

    /// Ends a loop with the next values of what it carries; gives the values after it.
    pub fn close_loop(&mut self, open: OpenLoop, yields: Vec<Val>) -> Vec<Val> {
        let Some(mut nest) = open.nest else { return yields };
        nest.body = Block { stmts: self.close_frame(), yields };
        let results = self.values_like(&open.params);
        nest.carried.iter_mut().zip(&results).for_each(|(carried, result)| carried.result = *result);
        self.emit(Stmt::For(nest));
        results
    }

    /// New values of the same types.
    fn values_like(&mut self, values: &[Val]) -> Vec<Val> {
        values
            .iter()
            .map(|value| {
                let ty = self.values[*value];
                self.define(ty, self.depth())
            })
            .collect()
    }

    fn close_frame(&mut self) -> Vec<Stmt> {
        let depth = self.frames.len() - 1;
        self.symbols.retain(|_, (defined, _)| *defined < depth);
        self.frames.pop().map(|frame| frame.stmts).unwrap_or_default()
    }

    /// Starts a block of a branch; what is emitted until [`KernelBuilder::close_block`] is in it.
    pub fn open_block(&mut self) {
        self.frames.push(Frame { conditional: true, ..Frame::default() });
    }

    /// Ends a block that yields values.
    pub fn close_block(&mut self, yields: Vec<Val>) -> Block {
        Block { stmts: self.close_frame(), yields }
    }

    /// A branch on a scalar mask; both blocks yield values of equal types.
    pub fn branch(&mut self, condition: Val, then: Block, otherwise: Block) -> Vec<Val> {
        let results = self.values_like(&then.yields);
        self.emit(Stmt::If(Box::new(If { condition, then, otherwise, results: results.clone() })));
        results
    }

    /// The scalar truth of a comparison of two index expressions.
    pub fn compare_index(&mut self, op: Compare, x: &Dim, y: &Dim) -> Val {
        let (x, y) = (self.index(x), self.index(y));
        self.compare(op, x, y)
    }
}
