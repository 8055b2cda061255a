//! One file a command. Each `run` is that command's story from its arguments to its exit.

pub(crate) mod check;
mod client;
pub(crate) mod demo;
pub(crate) mod esi;
pub(crate) mod explain;
pub(crate) mod origins;
pub(crate) mod policy;
pub(crate) mod purge;
pub(crate) mod run;
pub(crate) mod test;
