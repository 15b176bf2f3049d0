//! Bounds on time and memory for models that nobody vouches for.

use super::failure::complain;
use crate::emit::file::remove_temporaries;
use graven_runtime::budget;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the process with code 2 and a sentence when compiling takes too long, until it is dropped, or when the process takes too much memory, until it ends.
///
/// The stages of the compiler look at both between their steps. This is for what happens within one, so it must not depend on their help.
pub(super) struct Limits {
    _done: Option<Sender<()>>,
}

impl Limits {
    /// Starts watching.
    pub(super) fn set(max_memory: Option<u64>, max_time: Option<Duration>) -> Limits {
        if let Some(bytes) = max_memory {
            budget::limit(usize::try_from(bytes).unwrap_or(usize::MAX), memory_exceeded);
        }
        let done = max_time.map(|limit| {
            let (done, ended) = channel::<()>();
            std::thread::spawn(move || {
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    let seconds = limit.as_secs_f64();
                    end(&format!("the model: compiling takes longer than --max-seconds {seconds}"));
                }
            });
            done
        });
        Limits { _done: done }
    }
}

fn memory_exceeded(limit: usize) -> ! {
    end(&format!("the model: needs more memory than --max-memory {limit}"))
}

/// Ends the process in the middle of its work.
fn end(message: &str) -> ! {
    remove_temporaries();
    complain(message);
    std::process::exit(2)
}
