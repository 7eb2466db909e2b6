//! A network device behind its queues: what the rules of spec §3 demand of it.

mod basics;
mod buffers;
mod commands;
mod corpus;
mod rig;
mod sending;
mod waiting;
