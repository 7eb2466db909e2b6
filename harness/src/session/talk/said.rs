//! What a session said.

use vhost_fuzz_core::session::Refusal;

/// What a session said to one message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Said {
    /// Nothing.
    Silent,
    /// A reply.
    Reply {
        /// The id that it answers.
        code: u32,
        /// Its payload.
        payload: Vec<u8>,
        /// Whether a descriptor came with it.
        fd: bool,
        /// Why the request was refused, if it was.
        refusal: Option<Refusal>,
    },
    /// It closed the connection.
    Closed(Refusal),
}

impl Said {
    /// The request was refused with an acknowledgement that says no.
    ///
    /// # Errors
    /// Why it was refused; what was said instead is the good case, which a test does not want.
    pub fn nack(self) -> Result<Self, Refusal> {
        match self {
            Self::Reply { payload, fd: false, refusal: Some(refusal), .. }
                if payload == 1_u64.to_ne_bytes() =>
            {
                Err(refusal)
            }
            other => Ok(other),
        }
    }

    /// The request was refused with this payload, which is the failure form of its own reply, and
    /// without a descriptor.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn failure(self, form: &[u8]) -> Result<Self, Refusal> {
        match self {
            Self::Reply { payload, fd: false, refusal: Some(refusal), .. } if payload == form => {
                Err(refusal)
            }
            other => Ok(other),
        }
    }

    /// The connection was closed.
    ///
    /// # Errors
    /// Why it was.
    pub fn closed(self) -> Result<Self, Refusal> {
        match self {
            Self::Closed(refusal) => Err(refusal),
            other => Ok(other),
        }
    }

    /// The request was granted, and a u64 of 0 said so.
    ///
    /// # Panics
    /// When something else was said.
    #[track_caller]
    pub fn acked(self) {
        assert_eq!(self.u64(), 0, "an acknowledgement of success");
    }

    /// The request was granted, and nothing was said.
    ///
    /// # Panics
    /// When something was said.
    #[track_caller]
    pub fn silent(self) {
        assert_eq!(self, Self::Silent);
    }

    /// The payload of a reply that grants the request.
    ///
    /// # Panics
    /// When there was no such reply.
    #[must_use]
    #[track_caller]
    pub fn payload(&self) -> &[u8] {
        match self {
            Self::Reply { payload, refusal: None, .. } => payload,
            other => panic!("no reply but {other:?}"),
        }
    }

    /// The number in a reply that grants the request.
    ///
    /// # Panics
    /// When there was no such reply.
    #[must_use]
    #[track_caller]
    pub fn u64(&self) -> u64 {
        let bytes = self.payload();
        u64::from_ne_bytes(bytes.try_into().unwrap_or_else(|_| panic!("no u64 but {self:?}")))
    }

    /// Index and number of such a reply.
    ///
    /// # Panics
    /// When there was no such reply.
    #[must_use]
    #[track_caller]
    pub fn state(&self) -> (u32, u32) {
        let bytes = self.u64().to_ne_bytes();
        let half = |at: usize| [0, 1, 2, 3].map(|byte| bytes[at + byte]);
        (u32::from_ne_bytes(half(0)), u32::from_ne_bytes(half(4)))
    }

    /// Whether a descriptor came with the reply.
    #[must_use]
    pub const fn has_fd(&self) -> bool {
        matches!(self, Self::Reply { fd: true, .. })
    }
}
