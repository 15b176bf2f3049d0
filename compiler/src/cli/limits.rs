//! Bounds on time and memory for models that nobody vouches for.

use super::failure::complain;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the process with code 2 and a sentence when compiling takes too long; dropped, it stops watching.
///
/// The stages of the compiler look at the clock between nodes. This is for what happens within one, so it must not depend on their help.
pub(super) struct Limits {
    _done: Option<Sender<()>>,
}

impl Limits {
    /// Starts watching.
    pub(super) fn set(_max_memory: Option<u64>, max_time: Option<Duration>) -> Limits {
        let done = max_time.map(|limit| {
            let (done, ended) = channel::<()>();
            std::thread::spawn(move || {
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    let seconds = limit.as_secs_f64();
                    complain(&format!("the model: compiling takes longer than --max-seconds {seconds}"));
                    std::process::exit(2);
                }
            });
            done
        });
        Limits { _done: done }
    }
}
