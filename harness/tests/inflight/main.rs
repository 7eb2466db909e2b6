//! The in-flight area (spec §6.11): layouts by hand, the rules one by one, hostile regions, and
//! processes that end after any store.

mod geometry;
mod hostile;
mod packed;
mod packed_lives;
mod shared;
mod split;
mod split_lives;
