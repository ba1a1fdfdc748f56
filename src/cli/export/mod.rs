//! What can be made of a stored session. Pure: records in, text or documents out.

pub mod markdown;
pub mod past;
pub mod trace;
