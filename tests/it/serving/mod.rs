//! `callsheet serve` as a process, over real connections.

mod ending;
mod hostile;
mod http;
mod load;
mod settings;
