//! A plain framer that can make one mistake. Without a mistake every oracle must be content with
//! it; with one, the oracle that the mistake is for must speak.

use std::any::TypeId;

use vhost_fuzz_core::vhost_user::{
    Frame, FrameError, HEADER_LEN, Header, HeaderError, Kind, MAX_FDS, Segment,
};
use vhost_fuzz_core::wire::Reader;

use crate::framing::Framing;
use crate::ledger::Token;

macro_rules! mistakes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
    )*};
}
mistakes! {
    /// None.
    Nothing,
    /// A short read of the header is taken for a whole one (MC01).
    ShortHeaderIsWhole,
    /// A payload has to come in one piece (HZ-02).
    NoSplitPayload,
    /// Descriptors of a refused message stay open (MC02).
    LeaksOnError,
    /// Descriptors with a later byte are taken (HZ-03, HZ-04).
    TakesLateFds,
    /// Cut control data is not looked at.
    IgnoresTruncation,
    /// A delivered descriptor is closed by the framer as well (VS12).
    ClosesTwice,
    /// Descriptors go to the message after theirs.
    DelaysFds,
    /// Memory is allocated for whatever size the header says (HZ-13).
    AllocatesTheSize,
    /// The size limit is not looked at before the payload is there.
    NoLimit,
    /// A message without a payload never becomes whole.
    StallsOnEmptyPayload,
    /// The end of the stream inside a message is taken for a clean one (DV-66).
    ForgivesEof,
}

/// The framer, with the mistake `M` of those above.
#[derive(Debug)]
pub struct Plain<M> {
    kind: Kind,
    limit: u32,
    bytes: Vec<u8>,
    fds: Vec<Token>,
    /// Descriptors that [`DelaysFds`] holds back.
    delayed: Vec<Token>,
    /// The message that was taken last.
    out: Vec<u8>,
    failed: Option<FrameError>,
    mistake: std::marker::PhantomData<M>,
}

impl<M: 'static> Plain<M> {
    /// Whether this framer makes the mistake `T`.
    fn makes<T: 'static>() -> bool {
        TypeId::of::<M>() == TypeId::of::<T>()
    }

    fn header(&self) -> Option<Header> {
        Header::read(&mut Reader::new(&self.bytes)).ok()
    }

    fn total(&self) -> usize {
        self.header().map_or(HEADER_LEN, |header| HEADER_LEN + header.size as usize)
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() >= HEADER_LEN && self.bytes.len() == self.total()
    }

    fn accept(
        &mut self,
        is_empty: bool,
        fds: impl IntoIterator<Item = Token>,
        control_truncated: bool,
    ) -> Result<(), FrameError> {
        let held = self.fds.len();
        self.fds.extend(fds);
        let came = self.fds.len() - held;
        if control_truncated && !Self::makes::<IgnoresTruncation>() {
            return Err(FrameError::ControlTruncated);
        }
        let is_late = !self.bytes.is_empty() || is_empty;
        if came > 0 && is_late && !Self::makes::<TakesLateFds>() {
            return Err(FrameError::LateFds { offset: self.bytes.len(), fds: came });
        }
        if self.fds.len() > MAX_FDS {
            return Err(FrameError::TooManyFds { fds: self.fds.len(), limit: MAX_FDS });
        }
        Ok(())
    }

    fn fill(&mut self, mut bytes: &[u8]) -> Result<usize, FrameError> {
        let offered = bytes.len();
        while !bytes.is_empty() && !self.is_whole() {
            let (head, rest) = bytes.split_at(bytes.len().min(self.missing()));
            self.bytes.extend(head);
            bytes = rest;
            if Self::makes::<ShortHeaderIsWhole>() && self.bytes.len() < HEADER_LEN {
                self.bytes.resize(HEADER_LEN, 0);
            }
            if self.bytes.len() == HEADER_LEN {
                self.check()?;
            }
            let is_cut = self.bytes.len() > HEADER_LEN && !self.is_whole();
            if Self::makes::<NoSplitPayload>() && is_cut && bytes.is_empty() {
                let need = self.total() - HEADER_LEN;
                let have = self.bytes.len() - HEADER_LEN;
                return Err(FrameError::EofInPayload { have, need });
            }
        }
        Ok(offered - bytes.len())
    }

    fn check(&mut self) -> Result<(), FrameError> {
        let Some(header) = self.header() else { return Ok(()) };
        if Self::makes::<AllocatesTheSize>() {
            // Bounded, so that the mistake shows without taking the machine's memory.
            drop(std::hint::black_box(vec![0_u8; header.size.min(1 << 20) as usize]));
        }
        header.check(self.kind)?;
        if header.size > self.limit && !Self::makes::<NoLimit>() {
            let too_large = HeaderError::TooLarge { size: header.size, limit: self.limit };
            return Err(too_large.into());
        }
        Ok(())
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        if Self::makes::<LeaksOnError>() {
            self.fds.drain(..).for_each(std::mem::forget);
        }
        self.fds.clear();
        self.failed = Some(error);
        error
    }
}

impl<M: 'static> Framing for Plain<M> {
    fn open(kind: Kind, limit: u32) -> Self {
        Self {
            kind,
            limit,
            bytes: Vec::with_capacity(1 << 16),
            fds: Vec::with_capacity(1 << 8),
            delayed: Vec::with_capacity(MAX_FDS),
            out: Vec::with_capacity(1 << 16),
            failed: None,
            mistake: std::marker::PhantomData,
        }
    }

    fn missing(&self) -> usize {
        if self.failed.is_some() { 0 } else { self.total() - self.bytes.len() }
    }

    fn push<I: IntoIterator<Item = Token>>(
        &mut self,
        segment: Segment<'_, I>,
    ) -> Result<usize, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Segment { bytes, fds, control_truncated } = segment;
        self.accept(bytes.is_empty(), fds, control_truncated)
            .and_then(|()| self.fill(bytes))
            .map_err(|error| self.fail(error))
    }

    fn take(&mut self) -> Option<Frame<'_, Token>> {
        let is_stalled = Self::makes::<StallsOnEmptyPayload>() && self.bytes.len() == HEADER_LEN;
        if self.failed.is_some() || !self.is_whole() || is_stalled {
            return None;
        }
        self.out.clear();
        self.out.append(&mut self.bytes);
        if Self::makes::<ClosesTwice>() {
            self.fds.iter().for_each(|fd| drop(fd.alias()));
        }
        if Self::makes::<DelaysFds>() {
            std::mem::swap(&mut self.fds, &mut self.delayed);
        }
        let fds = self.fds.drain(..).take(MAX_FDS).collect();
        Some(Frame { kind: self.kind, bytes: &self.out, fds })
    }

    fn finish(&mut self) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.bytes.is_empty() || Self::makes::<ForgivesEof>() {
            return Ok(());
        }
        let have = self.bytes.len();
        Err(self.fail(if have < HEADER_LEN {
            FrameError::EofInHeader { have }
        } else {
            FrameError::EofInPayload { have: have - HEADER_LEN, need: self.total() - HEADER_LEN }
        }))
    }
}
