//! What a conversation at a terminal consists of besides its turns: lines, commands, interrupts.

pub(in crate::cli) mod command;
pub(in crate::cli) mod input;
pub(in crate::cli) mod interrupts;
