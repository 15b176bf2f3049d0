//! What `--timing` and `--print-after-all` print.

use crate::api::Observer;
use graven_ir::text::display_graph;
use graven_ir::{Constants, Graph};
use std::time::Duration;

/// Prints to standard error.
#[derive(Debug)]
pub(super) struct Printer {
    pub(super) timing: bool,
    pub(super) graphs: bool,
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
}
