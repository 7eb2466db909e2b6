//! What the targets of whole rings need around the ring: what a script means, the memory, the
//! driver that does what a script says, and the model of either layout.

pub mod driver;
pub mod model;
pub mod step;
pub mod world;
