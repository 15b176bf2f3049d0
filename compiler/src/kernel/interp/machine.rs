//! Executes statements.

use super::memory::{Memory, Task};
use super::operation::{Operand, evaluate};
use super::{Fault, FaultReport, KernelError, RunLimits};
use crate::kernel::text::display_stmt;
use crate::kernel::{Address, Block, For, If, Kernel, KernelOp, Path, PathStep, Spread, Stmt, Type, Val};
use cranelift_entity::{EntityRef, SecondaryMap};
use smallvec::SmallVec;
use std::ops::Range;

pub(super) struct Machine<'k, 'm> {
    kernel: &'k Kernel,
    memories: Vec<Memory<'m>>,
    /// The words of all lanes of all values.
    registers: Vec<u64>,
    /// Where each value's lanes are.
    places: SecondaryMap<Val, Place>,
    /// Space for a result.
    out: Vec<u64>,
    path: Path,
    task: Task,
    status: i32,
    statements: u64,
    limits: RunLimits,
}

#[derive(Clone, Copy, Default)]
struct Place {
    start: usize,
    lanes: usize,
}

impl<'k, 'm> Machine<'k, 'm> {
    pub fn new(
        kernel: &'k Kernel,
        memories: Vec<Memory<'m>>,
        extents: &[i64],
        limits: RunLimits,
    ) -> Machine<'k, 'm> {
        let mut places = SecondaryMap::new();
        let mut size = 0;
        for (value, ty) in &kernel.values {
            places[value] = Place { start: size, lanes: ty.lanes.into() };
            size += usize::from(ty.lanes);
        }
        let mut machine = Machine {
            kernel,
            memories,
            registers: vec![0; size],
            places,
            out: Vec::new(),
            path: Path::default(),
            task: 1,
            status: 0,
            statements: 0,
            limits,
        };
        for ((_, value), extent) in kernel.extents.iter().zip(extents) {
            machine.set_index(*value, *extent);
        }
        machine
    }

    /// The status and who wrote the elements of each argument.
    pub fn finish(self) -> (i32, Vec<Vec<u32>>) {
        let arguments = self.kernel.arguments().count();
        (self.status, self.memories.into_iter().take(arguments).map(Memory::writers).collect())
    }

    /// Executes the tasks of a range; gives the number of all tasks.
    pub fn run(&mut self, tasks: Range<i64>) -> Result<i64, KernelError> {
        let mut count = 1;
        if self.kernel.parallel_loop().is_none() && !tasks.contains(&0) {
            return Ok(count);
        }
        for (index, stmt) in self.kernel.body.stmts.iter().enumerate() {
            match stmt {
                Stmt::For(nest) if nest.parallel => count = self.tasks(index, stmt, nest, &tasks)?,
                _ => self.stmt(index, stmt)?,
            }
        }
        Ok(count)
    }

    fn tasks(
        &mut self,
        index: usize,
        stmt: &Stmt,
        nest: &For,
        tasks: &Range<i64>,
    ) -> Result<i64, KernelError> {
        let (lower, upper) = self.bounds(nest);
        let (length, step) = ((i128::from(upper) - i128::from(lower)).max(0), i128::from(nest.step));
        let trips = i64::try_from((length + step - 1) / step).unwrap_or(i64::MAX);
        self.path.0.push(PathStep::Stmt(index as u32));
        for trip in tasks.start.max(0)..tasks.end.min(trips) {
            self.count(stmt)?;
            self.task = u32::try_from(trip + 1).unwrap_or(u32::MAX);
            self.set_index(nest.var, (i128::from(lower) + step * i128::from(trip)) as i64);
            self.inner_block(PathStep::Body, &nest.body)?;
        }
        self.path.0.pop();
        Ok(trips)
    }

    fn index(&self, value: Val) -> i64 {
        self.registers[self.places[value].start] as i64
    }

    fn set_index(&mut self, value: Val, index: i64) {
        let place = self.places[value];
        self.registers[place.start] = index as u64;
    }

    fn words(&self, value: Val) -> &[u64] {
        let Place { start, lanes } = self.places[value];
        &self.registers[start..start + lanes]
    }

    fn ty(&self, value: Val) -> Type {
        self.kernel.values[value]
    }

    fn copy(&mut self, from: &[Val], to: impl Iterator<Item = Val>) {
        // All are read before any is written: a body may exchange what it carries.
        let words: SmallVec<[u64; 16]> = from.iter().flat_map(|value| self.words(*value)).copied().collect();
        let mut words = words.into_iter();
        for value in to {
            let Place { start, lanes } = self.places[value];
            self.registers[start..start + lanes].iter_mut().zip(&mut words).for_each(|(to, from)| *to = from);
        }
    }

    fn fault(&self, stmt: &Stmt, fault: Fault) -> KernelError {
        let statement = display_stmt(self.kernel, stmt).to_string();
        KernelError::Fault(Box::new(FaultReport { path: self.path.clone(), statement, fault }))
    }

    fn count(&mut self, stmt: &Stmt) -> Result<(), KernelError> {
        self.statements += 1;
        match self.statements > self.limits.statements {
            true => Err(self.fault(stmt, Fault::Limit)),
            false => Ok(()),
        }
    }

    fn block(&mut self, block: &Block) -> Result<(), KernelError> {
        block.stmts.iter().enumerate().try_for_each(|(index, stmt)| self.stmt(index, stmt))
    }

    fn inner_block(&mut self, step: PathStep, block: &Block) -> Result<(), KernelError> {
        self.path.0.push(step);
        self.block(block)?;
        self.path.0.pop();
        Ok(())
    }

    fn stmt(&mut self, index: usize, stmt: &Stmt) -> Result<(), KernelError> {
        self.path.0.push(PathStep::Stmt(index as u32));
        self.count(stmt)?;
        match stmt {
            Stmt::For(nest) => self.nest(stmt, nest)?,
            Stmt::If(branch) => self.branch(branch)?,
            Stmt::Op { result, op, args } => {
                self.op(*result, op, args).map_err(|fault| self.fault(stmt, fault))?;
            }
            Stmt::Load { result, address, spread, mask } => {
                self.load(*result, address, spread, *mask).map_err(|fault| self.fault(stmt, fault))?;
            }
            Stmt::Store { value, address, spread, mask } => {
                self.store(*value, address, spread, *mask).map_err(|fault| self.fault(stmt, fault))?;
            }
            Stmt::Prefetch { .. } => {}
            Stmt::Check { condition, code } => {
                if self.words(*condition)[0] == 0 && self.status == 0 {
                    self.status = *code;
                }
            }
        }
        self.path.0.pop();
        Ok(())
    }

    fn op(&mut self, result: Val, op: &KernelOp, args: &[Val]) -> Result<(), Fault> {
        let Place { start, lanes } = self.places[result];
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        out.resize(lanes, 0);
        let operands: SmallVec<[Operand<'_>; 3]> =
            args.iter().map(|arg| Operand { ty: self.ty(*arg), words: self.words(*arg) }).collect();
        let evaluated = evaluate(op, &operands, self.ty(result), &mut out);
        drop(operands);
        self.registers[start..start + lanes].copy_from_slice(&out);
        self.out = out;
        evaluated
    }

    /// The element that a lane of an access is at.
    fn element(&self, address: &Address, spread: &Spread, lane: usize) -> i128 {
        let base = i128::from(self.index(address.index)) + i128::from(address.offset);
        base + match spread {
            Spread::Contiguous => lane as i128,
            Spread::Strided(stride) => i128::from(*stride) * lane as i128,
            Spread::Gathered(offsets) => i128::from(self.words(*offsets)[lane] as i64),
            Spread::Broadcast => 0,
        }
    }

    fn is_active(&self, mask: Option<Val>, lane: usize) -> bool {
        mask.is_none_or(|mask| self.words(mask)[lane] != 0)
    }

    fn load(
        &mut self,
        result: Val,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<(), Fault> {
        let Place { start, lanes } = self.places[result];
        let element = self.ty(result).element;
        let name = &self.kernel.buffers[address.buffer].name;
        for lane in 0..lanes {
            let word = match self.is_active(mask, lane) {
                false => 0,
                true => {
                    let place = self.element(address, spread, lane);
                    self.memories[address.buffer.index()].load(name, place, element, self.task)?
                }
            };
            self.registers[start + lane] = word;
        }
        Ok(())
    }

    fn store(
        &mut self,
        value: Val,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<(), Fault> {
        let Place { start, lanes } = self.places[value];
        let element = self.ty(value).element;
        let name = &self.kernel.buffers[address.buffer].name;
        for lane in (0..lanes).filter(|lane| self.is_active(mask, *lane)).collect::<SmallVec<[usize; 16]>>() {
            let (place, word) = (self.element(address, spread, lane), self.registers[start + lane]);
            self.memories[address.buffer.index()].store(name, place, element, word, self.task)?;
        }
        Ok(())
    }

    fn bounds(&self, nest: &For) -> (i64, i64) {
        (self.index(nest.lower), self.index(nest.upper))
    }

    fn nest(&mut self, stmt: &Stmt, nest: &For) -> Result<(), KernelError> {
        let inits: SmallVec<[Val; 8]> = nest.carried.iter().map(|carried| carried.init).collect();
        self.copy(&inits, nest.carried.iter().map(|carried| carried.param));
        let (lower, upper) = self.bounds(nest);
        let mut value = lower;
        while value < upper {
            self.count(stmt)?;
            self.set_index(nest.var, value);
            self.inner_block(PathStep::Body, &nest.body)?;
            self.copy(&nest.body.yields, nest.carried.iter().map(|carried| carried.param));
            let Some(next) = value.checked_add(nest.step) else { break };
            value = next;
        }
        let params: SmallVec<[Val; 8]> = nest.carried.iter().map(|carried| carried.param).collect();
        self.copy(&params, nest.carried.iter().map(|carried| carried.result));
        Ok(())
    }

    fn branch(&mut self, branch: &If) -> Result<(), KernelError> {
        let (step, block) = match self.words(branch.condition)[0] != 0 {
            true => (PathStep::Then, &branch.then),
            false => (PathStep::Else, &branch.otherwise),
        };
        self.inner_block(step, block)?;
        self.copy(&block.yields, branch.results.iter().copied());
        Ok(())
    }
}
