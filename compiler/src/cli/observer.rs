//! What `--timing`, `--print-after-all` and `--remarks` print.

use crate::api::{Observer, Remark};
use graven_ir::text::display_graph;
use graven_ir::{Constants, Graph};
use std::time::Duration;

/// Prints to standard error.
#[derive(Debug)]
pub(super) struct Printer {
    pub(super) timing: bool,
    pub(super) graphs: bool,
    pub(super) remarks: bool,
}

impl Observer for Printer {
    fn stage(&self, name: &str, time: Duration) {
        if self.timing {
            eprintln!("{:>10.3} ms  {name}", time.as_secs_f64() * 1e3);
        }
    }

    fn graph(&self, pass: &str, constants: &Constants, graph: &Graph) {
        if self.graphs {
            eprintln!("// after {pass}\n{}", display_graph(graph, constants));
        }
    }

    fn wants_remarks(&self) -> bool {
        self.remarks
    }

    fn remark(&self, remark: &Remark) {
        eprintln!("{remark}");
    }
}
