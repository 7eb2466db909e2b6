//! From bytes to a [`Message`], in the order of spec §1.7: header, payload size, descriptors.

use super::payload::{
    Config, CryptoSession, Fixed, Inflight, Iotlb, LogBase, MemReg, MemTable, Region, ShmemConfig,
    VringArea, VringFd, VringState,
};
use super::request::{self, Fds, Shape};
use super::{DecodeError, FrontendRequest, Header, Kind, Layout, MAX_REGIONS, Message, Payload};
use crate::wire::{Reader, Short};

/// Decodes one whole message.
///
/// A message that is legal at first sight, of a layout of one size, is read here without a detour:
/// these are the messages that a running device sees. Every other, and every error, is left to
/// [`judged`], which looks at one rule after another. It is always inlined because saving and
/// restoring registers would cost as much as the work.
#[inline(always)]
pub(super) fn message(
    kind: Kind,
    layout: Layout,
    bytes: &[u8],
    fds: usize,
) -> Result<Message<'_>, DecodeError> {
    let mut r = Reader::new(bytes);
    if let Ok(header) = Header::read(&mut r)
        && header.check(kind).is_ok()
        && let Some(form) = request::form(kind, header.code)
        && form.admits(fds)
        && usize::try_from(header.size) == Ok(r.rest().len())
    {
        let Header { code, flags, .. } = header;
        macro_rules! whole {
            ($variant:ident) => {
                if let Some(value) = only(r) {
                    return Ok(Message { kind, code, flags, payload: Payload::$variant(value) });
                }
            };
        }
        match form.shape {
            Shape::None if header.size == 0 => {
                return Ok(Message { kind, code, flags, payload: Payload::None });
            }
            Shape::U64 => whole!(U64),
            Shape::State => whole!(State),
            Shape::Addr => whole!(Addr),
            Shape::Iotlb => whole!(Iotlb),
            Shape::VringFd if only(r).is_some_and(|fd: VringFd| fd.has_no_fd() == (fds == 0)) => {
                whole!(VringFd);
            }
            _ => {}
        }
    }
    judged(kind, layout, bytes, fds)
}

/// The one value that is left, if nothing else is.
#[inline(always)]
fn only<T: Fixed>(mut r: Reader<'_>) -> Option<T> {
    if r.rest().len() == T::LEN as usize { T::read(&mut r).ok() } else { None }
}

/// Decodes any message, and names the first rule that it breaks.
#[inline(never)]
fn judged(
    kind: Kind,
    layout: Layout,
    bytes: &[u8],
    fds: usize,
) -> Result<Message<'_>, DecodeError> {
    let mut r = Reader::new(bytes);
    let header =
        Header::read(&mut r).map_err(|short| DecodeError::HeaderTruncated { have: short.have })?;
    header.check(kind)?;
    let body = r.rest();
    // VU-001: exactly `size` bytes follow the header.
    let have = match u32::try_from(body.len()) {
        Ok(have) if have == header.size => have,
        _ => {
            return Err(DecodeError::LengthMismatch { announced: header.size, have: body.len() });
        }
    };
    let payload = match request::form(kind, header.code) {
        Some(form) => {
            let allowed = form.fds();
            Body { code: header.code, layout, bytes: body, have, allowed, fds }
                .decode(form.shape)?
        }
        None => Payload::Unknown(body),
    };
    Ok(Message { kind, code: header.code, flags: header.flags, payload })
}

/// A payload with all that its decoding depends on.
struct Body<'a> {
    code: u32,
    layout: Layout,
    bytes: &'a [u8],
    /// `bytes.len()`, as the wire counts it.
    have: u32,
    allowed: Fds,
    fds: usize,
}

impl<'a> Body<'a> {
    #[inline]
    fn decode(&self, shape: Shape) -> Result<Payload<'a>, DecodeError> {
        match shape {
            Shape::None => self.none(),
            Shape::U64 => self.u64().map(Payload::U64),
            Shape::VringFd => self.vring_fd(),
            Shape::State => self.fixed::<VringState>().map(Payload::State),
            Shape::Addr => self.fixed().map(Payload::Addr),
            Shape::MemTable => self.mem_table(),
            Shape::MemTableReply => self.mem_table_reply(),
            Shape::MemReg => self.mem_reg(),
            Shape::MemRegReply if self.have == u64::LEN => self.u64().map(Payload::U64),
            Shape::MemRegReply => self.mem_reg(),
            Shape::Log => self.log(),
            Shape::LogReply => self.log_reply(),
            Shape::Iotlb => self.fixed::<Iotlb>().map(Payload::Iotlb),
            Shape::ConfigGet => self.config_exact(),
            Shape::ConfigSet => self.config_set(),
            Shape::ConfigReply if self.bytes.is_empty() => self.none(),
            Shape::ConfigReply => self.config_exact(),
            Shape::Area => self.area(),
            Shape::Inflight => self.fixed().map(Payload::Inflight),
            Shape::InflightReply => self.inflight_reply(),
            Shape::SharedOrNone if self.bytes.is_empty() => self.none(),
            Shape::Shared | Shape::SharedOrNone => self.fixed().map(Payload::Shared),
            Shape::Transfer => self.fixed().map(Payload::Transfer),
            Shape::TransferReply => self.transfer_reply(),
            Shape::LookupReply => self.lookup_reply(),
            Shape::ShmemMap => self.fixed().map(Payload::ShmemMap),
            Shape::ShmemConfig => self.shmem_config(),
            Shape::CryptoRequest => self.crypto(true),
            Shape::CryptoReply => self.crypto(false),
        }
    }

    /// DC-005: a payload has a size that its layout allows.
    #[inline]
    fn check_size(&self, need: u32, limit: u32) -> Result<(), DecodeError> {
        let Self { code, have, .. } = *self;
        if have < need {
            return Err(DecodeError::PayloadTooShort { code, need, have });
        }
        if have > limit {
            return Err(DecodeError::PayloadTooLong { code, limit, have });
        }
        Ok(())
    }

    /// VU-020: a message carries the descriptors that it needs and no more.
    #[inline]
    fn check_fds(&self, allowed: Fds) -> Result<(), DecodeError> {
        let Self { code, fds: have, .. } = *self;
        if have < allowed.min {
            return Err(DecodeError::TooFewFds { code, need: allowed.min, have });
        }
        if have > allowed.max {
            return Err(DecodeError::TooManyFds { code, limit: allowed.max, have });
        }
        Ok(())
    }

    /// A field ran over the end. The size was checked before, so this is a second line.
    #[cold]
    fn short(&self, short: Short) -> DecodeError {
        let need = u32::try_from(short.need).unwrap_or(u32::MAX);
        DecodeError::PayloadTooShort { code: self.code, need, have: self.have }
    }

    #[inline]
    fn fixed<T: Fixed>(&self) -> Result<T, DecodeError> {
        self.check_size(T::LEN, T::LEN)?;
        self.check_fds(self.allowed)?;
        // The size was just checked; taking exactly `LEN` bytes lets the compiler see it too.
        let bytes = self.bytes.get(..T::LEN as usize).unwrap_or(self.bytes);
        T::read(&mut Reader::new(bytes)).map_err(|short| self.short(short))
    }

    fn u64(&self) -> Result<u64, DecodeError> {
        self.fixed()
    }

    fn none(&self) -> Result<Payload<'a>, DecodeError> {
        self.check_size(0, 0)?;
        self.check_fds(self.allowed)?;
        Ok(Payload::None)
    }

    fn vring_fd(&self) -> Result<Payload<'a>, DecodeError> {
        let value = self.fixed::<VringFd>()?;
        let fds = self.fds;
        if value.has_no_fd() == (fds == 0) {
            return Ok(Payload::VringFd(value));
        }
        // Bit 8 is set exactly when no descriptor is attached: VU-099, VU-102, VU-105.
        Err(match FrontendRequest(self.code) {
            FrontendRequest::SET_VRING_KICK => DecodeError::KickFdFlag { fds },
            FrontendRequest::SET_VRING_CALL => DecodeError::CallFdFlag { fds },
            _ => DecodeError::ErrFdFlag { fds },
        })
    }

    fn mem_table(&self) -> Result<Payload<'a>, DecodeError> {
        let is_ack = self.layout.postcopy_ack && self.fds == 0;
        if is_ack && self.bytes.is_empty() {
            return Ok(Payload::None); // VU-133, the form of the text
        }
        if is_ack && self.have == u64::LEN {
            return self.u64().map(Payload::U64); // VU-133, the form that is sent in practice
        }
        let table = self.table()?;
        // VU-128: one descriptor for each region.
        if u32::try_from(self.fds) != Ok(table.count()) {
            return Err(DecodeError::RegionFds { regions: table.count(), fds: self.fds });
        }
        Ok(Payload::MemTable(table))
    }

    fn mem_table_reply(&self) -> Result<Payload<'a>, DecodeError> {
        if self.have == u64::LEN {
            return self.u64().map(Payload::U64);
        }
        let table = self.table()?;
        self.check_fds(self.allowed)?;
        Ok(Payload::MemTable(table))
    }

    fn table(&self) -> Result<MemTable<'a>, DecodeError> {
        let full = MemTable::full_len(self.layout);
        self.check_size(MemTable::PREFIX_LEN, full)?;
        let table = MemTable::read(Reader::new(self.bytes), self.layout)
            .map_err(|short| self.short(short))?;
        // VU-129: 1 to 8 regions.
        let count = table.count();
        if count == 0 || count > MAX_REGIONS {
            return Err(DecodeError::RegionCount { count, limit: MAX_REGIONS });
        }
        // VU-262: any length from the regions announced up to the full table.
        let need = MemTable::PREFIX_LEN + count * Region::encoded_len(self.layout.xen_mmap);
        self.check_size(need, full)?;
        Ok(table)
    }

    fn mem_reg(&self) -> Result<Payload<'a>, DecodeError> {
        let len = MemReg::encoded_len(self.layout);
        self.check_size(len, len)?;
        self.check_fds(self.allowed)?;
        MemReg::read(&mut Reader::new(self.bytes), self.layout)
            .map(Payload::MemReg)
            .map_err(|short| self.short(short))
    }

    fn log(&self) -> Result<Payload<'a>, DecodeError> {
        if self.layout.log_shmfd {
            // VU-155: size, offset and descriptor come together.
            self.check_size(LogBase::LEN, LogBase::LEN)?;
            self.check_fds(Fds::ONE)?;
        } else {
            // DV-75: a u64 by the text, P-LOG from one front-end; no descriptor in either.
            if self.have != LogBase::LEN {
                self.check_size(u64::LEN, u64::LEN)?;
            }
            self.check_fds(Fds::NONE)?;
        }
        self.log_value()
    }

    fn log_reply(&self) -> Result<Payload<'a>, DecodeError> {
        // DC-012: the text fixes no payload; three sizes exist (DV-14).
        if self.bytes.is_empty() {
            return self.none();
        }
        if self.have != u64::LEN {
            self.check_size(LogBase::LEN, LogBase::LEN)?;
        }
        self.check_fds(self.allowed)?;
        self.log_value()
    }

    fn log_value(&self) -> Result<Payload<'a>, DecodeError> {
        let mut r = Reader::new(self.bytes);
        if self.have == u64::LEN {
            r.ne_u64().map(Payload::U64)
        } else {
            LogBase::read(&mut r).map(Payload::Log)
        }
        .map_err(|short| self.short(short))
    }

    fn config(&self) -> Result<(Config<'a>, u32), DecodeError> {
        self.check_size(Config::PREFIX_LEN, u32::MAX)?;
        let config = Config::read(Reader::new(self.bytes)).map_err(|short| self.short(short))?;
        Ok((config, self.have - Config::PREFIX_LEN))
    }

    fn config_exact(&self) -> Result<Payload<'a>, DecodeError> {
        let (config, have) = self.config()?;
        if config.size != have {
            return Err(DecodeError::ConfigSize { size: config.size, have }); // DC-007
        }
        self.check_fds(self.allowed)?;
        Ok(Payload::Config(config))
    }

    fn config_set(&self) -> Result<Payload<'a>, DecodeError> {
        let (config, have) = self.config()?;
        // VU-269: surplus data up to the padded form is ignored, missing data is refused.
        if have < config.size {
            return Err(DecodeError::ConfigTooShort { size: config.size, have });
        }
        if have > config.size {
            self.check_size(Config::PREFIX_LEN, Config::PADDED_LEN)?;
        }
        self.check_fds(self.allowed)?;
        Ok(Payload::Config(config))
    }

    fn area(&self) -> Result<Payload<'a>, DecodeError> {
        let area = self.fixed::<VringArea>()?;
        if area.vring.has_no_fd() == (self.fds == 0) {
            Ok(Payload::Area(area))
        } else {
            Err(DecodeError::NotifierFdFlag { fds: self.fds }) // DC-010
        }
    }

    fn inflight_reply(&self) -> Result<Payload<'a>, DecodeError> {
        let area = self.fixed::<Inflight>()?;
        // VU-179: an area comes with its descriptor; size 0 without one means that there is none.
        if (area.mmap_size == 0) == (self.fds == 0) {
            Ok(Payload::Inflight(area))
        } else {
            Err(DecodeError::InflightFd { mmap_size: area.mmap_size, fds: self.fds })
        }
    }

    fn transfer_reply(&self) -> Result<Payload<'a>, DecodeError> {
        const STATUS: u64 = 0xff;
        const NO_FD: u64 = 0x100;
        let value = self.u64()?;
        let [status, ..] = value.to_le_bytes();
        // VU-162: an error carries no descriptor.
        if value & STATUS != 0 && self.fds != 0 {
            return Err(DecodeError::StateErrorWithFd { status });
        }
        // VU-161: bit 8 is set exactly when no descriptor is returned.
        if (value & NO_FD != 0) != (self.fds == 0) {
            return Err(DecodeError::StateFdFlag { fds: self.fds });
        }
        Ok(Payload::U64(value))
    }

    fn lookup_reply(&self) -> Result<Payload<'a>, DecodeError> {
        let status = self.u64()?;
        // VU-232: 0 and one descriptor, or non-zero and none.
        if (status == 0) == (self.fds == 1) {
            Ok(Payload::U64(status))
        } else {
            Err(DecodeError::LookupFd { status, fds: self.fds })
        }
    }

    fn shmem_config(&self) -> Result<Payload<'a>, DecodeError> {
        self.check_size(ShmemConfig::LEN, ShmemConfig::LEN)?;
        self.check_fds(self.allowed)?;
        ShmemConfig::read(&mut Reader::new(self.bytes))
            .map(Payload::ShmemConfig)
            .map_err(|short| self.short(short))
    }

    fn crypto(&self, is_request: bool) -> Result<Payload<'a>, DecodeError> {
        self.check_size(CryptoSession::LEN, CryptoSession::LEN)?;
        self.check_fds(self.allowed)?;
        let session =
            CryptoSession::read(&mut Reader::new(self.bytes)).map_err(|short| self.short(short))?;
        if is_request {
            session.check_keys()?; // DC-008
        }
        Ok(Payload::Crypto(session))
    }
}
