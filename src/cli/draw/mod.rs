//! Drawing for people: text in, text out; nothing here prints.

pub mod bench;
pub mod clean;
pub mod color;
mod columns;
pub mod compare;
pub mod health;
pub mod json;
mod lane;
pub mod list;
pub mod plan;
pub mod render;
pub mod session;
pub mod sessions;
pub mod table;
pub mod width;
