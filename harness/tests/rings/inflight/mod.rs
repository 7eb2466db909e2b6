//! The in-flight area (spec §6.11): layouts by hand, the rules one by one, hostile regions, and
//! processes that end after any store, with the region alone and with a ring.

mod dying;
mod geometry;
mod hostile;
mod packed;
mod packed_lives;
mod rings;
mod shared;
mod split;
mod split_lives;
