//! `callsheet serve` as a process, over real connections.

mod browser;
mod ending;
mod hostile;
mod http;
mod load;
mod page;
mod settings;
