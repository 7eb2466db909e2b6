//! Models of the vhost-user wire: [`message`] for one message, [`stream`] for the framer.

pub mod message;
pub mod stream;
pub mod table;

/// What the receiver of a message knows about it beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// It comes on the back-end channel, not on the main one.
    pub backend_channel: bool,
    /// It has to be a reply.
    pub reply: bool,
    /// `XEN_MMAP` was negotiated.
    pub xen_mmap: bool,
    /// `LOG_SHMFD` was negotiated.
    pub log_shmfd: bool,
    /// The acknowledgement of a postcopy memory table is due.
    pub postcopy_ack: bool,
}

/// The native-endian number of `width` bytes (1, 2, 4 or 8) at `offset`.
///
/// # Panics
/// When the field is not inside `bytes` (the model looks at sizes first) or has another width.
#[must_use]
#[inline]
pub fn number(bytes: &[u8], offset: usize, width: usize) -> u64 {
    fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
        *bytes[offset..].first_chunk().expect("the field is inside the bytes")
    }
    match width {
        8 => u64::from_ne_bytes(field(bytes, offset)),
        4 => u32::from_ne_bytes(field(bytes, offset)).into(),
        2 => u16::from_ne_bytes(field(bytes, offset)).into(),
        1 => u8::from_ne_bytes(field(bytes, offset)).into(),
        _ => panic!("no field has {width} bytes"),
    }
}

/// Checks the flags of a header (spec §1.3) in the order of spec §1.7 step 3.
pub(crate) fn flags(bytes: &[u8], context: Context) -> Result<(), crate::Id> {
    let flags = number(bytes, 4, 4);
    if matches!((context.reply, flags), (false, 0x1 | 0x9) | (true, 0x5)) {
        return Ok(());
    }
    if flags % 4 != 1 {
        return Err(crate::Id::Vu(11));
    }
    let reply = flags / 4 % 2 == 1;
    let need_reply = flags / 8 % 2 == 1;
    if !context.reply && reply {
        return Err(crate::Id::Vu(6));
    }
    if context.reply && !reply {
        return Err(crate::Id::Vu(if context.backend_channel { 5 } else { 4 }));
    }
    if context.reply && need_reply {
        return Err(crate::Id::Vu(8));
    }
    // Nothing else can be wrong.
    Err(crate::Id::Vu(7))
}
