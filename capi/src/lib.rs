//! `libgraven_c`: the C interface of the just-in-time compiler. `include/graven.h` declares and documents it.
//!
//! * `error`: statuses, the message of the last failure
//! * `options`: what the application decides
//! * `port`: inputs and outputs in words
//! * `model`: loading
//! * `session`: running
//!
//! No panic leaves a function: [`error::guard`] turns it into a status.

mod error;
mod model;
mod options;
mod port;
mod session;
