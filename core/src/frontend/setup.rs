//! What a front-end knows about its device before it connects.

/// What does not change while a front-end exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// This back-end among those of the machine, for [`SharedObjects`](super::SharedObjects).
    pub owner: u32,
    /// Rings of the device model; their indexes are below it. At most 65,535.
    pub queues: u16,
    /// Most memory regions that the front-end keeps active at once.
    pub max_regions: u16,
    /// Most mappings that a back-end may have in shared memory regions at once (VU-243).
    pub max_mappings: u16,
    /// Bytes of a host page.
    pub page_size: u64,
}
