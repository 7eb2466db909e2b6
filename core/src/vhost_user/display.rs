//! A message as one line, for a person who debugs a VMM.

use core::fmt;

use super::features::{Names, PROTOCOL, VIRTIO};
use super::payload::{
    Config, CryptoSession, Inflight, Iotlb, MemTable, Region, SharedObject, ShmemConfig, ShmemMap,
    Transfer, VringAddr, VringFd,
};
use super::{Channel, Direction, FrontendRequest, Message, Payload};

/// Bytes of an opaque payload that are printed before it is cut.
const HEX_LIMIT: usize = 32;

/// Shared memory regions that are printed before the rest is only counted.
const SHMEM_LIMIT: u32 = 8;

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some(row) => f.write_str(row.name)?,
            None => write!(f, "request {}", self.code)?,
        }
        if self.kind.direction == Direction::Reply {
            f.write_str(" reply")?;
        }
        if self.flags.needs_reply() {
            f.write_str(" need_reply")?;
        }
        self.payload(f)
    }
}

impl Message<'_> {
    fn payload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.payload {
            Payload::None => Ok(()),
            Payload::U64(value) => self.u64(f, *value),
            Payload::VringFd(value) => write!(f, " {value}"),
            Payload::State(state) => self.state(f, state.index, state.num),
            Payload::Addr(addr) => write!(f, " {addr}"),
            Payload::MemTable(table) => write!(f, " {table}"),
            Payload::MemReg(reg) => write!(f, " {}", reg.region),
            Payload::Log(log) => write!(f, " size={:#x} offset={:#x}", log.size, log.offset),
            Payload::Iotlb(iotlb) => write!(f, " {iotlb}"),
            Payload::Config(config) => write!(f, " {config}"),
            Payload::Area(area) => {
                write!(f, " {} size={:#x} offset={:#x}", area.vring, area.size, area.offset)
            }
            Payload::Inflight(area) => write!(f, " {area}"),
            Payload::Shared(object) => write!(f, " {object}"),
            Payload::Transfer(transfer) => write!(f, " {transfer}"),
            Payload::ShmemMap(map) => write!(f, " {map}"),
            Payload::ShmemConfig(config) => write!(f, " {config}"),
            Payload::Crypto(session) => write!(f, " {session}"),
            Payload::Unknown(bytes) => write!(f, " (unknown){}", Hex(bytes)),
        }
    }

    fn u64(&self, f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
        let is_main = self.kind.channel == Channel::Main;
        let is_reply = self.kind.direction == Direction::Reply;
        match FrontendRequest(self.code) {
            FrontendRequest::GET_FEATURES if is_main && is_reply => {
                write!(f, " {}", Names(value, VIRTIO))
            }
            FrontendRequest::SET_FEATURES if is_main && !is_reply => {
                write!(f, " {}", Names(value, VIRTIO))
            }
            FrontendRequest::GET_PROTOCOL_FEATURES if is_main && is_reply => {
                write!(f, " {}", Names(value, PROTOCOL))
            }
            FrontendRequest::SET_PROTOCOL_FEATURES if is_main && !is_reply => {
                write!(f, " {}", Names(value, PROTOCOL))
            }
            FrontendRequest::SEND_RARP if is_main && !is_reply => {
                let [a, b, c, d, e, g, ..] = value.to_ne_bytes();
                write!(f, " mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            _ if is_reply
                && self.row().is_some_and(|row| row.reply == super::request::Reply::ACK) =>
            {
                if value == 0 { f.write_str(" ok") } else { write!(f, " failed={value:#x}") }
            }
            _ => write!(f, " {value:#x}"),
        }
    }

    fn state(&self, f: &mut fmt::Formatter<'_>, index: u32, num: u32) -> fmt::Result {
        let is_base = self.kind.channel == Channel::Main
            && matches!(
                FrontendRequest(self.code),
                FrontendRequest::SET_VRING_BASE
                    | FrontendRequest::GET_VRING_BASE
                    | FrontendRequest::GET_VRING_BASE_SKIP_DRAIN
            );
        if is_base {
            write!(f, " index={index} base={num:#x}")
        } else {
            write!(f, " index={index} num={num}")
        }
    }
}

impl fmt::Display for VringFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index={}", self.index())?;
        if self.has_no_fd() {
            f.write_str(" no-fd")?;
        }
        let rest = self.0 & !(Self::INDEX_MASK | Self::NO_FD);
        if rest != 0 { write!(f, " +{rest:#x}") } else { Ok(()) }
    }
}

impl fmt::Display for VringAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, flags, descriptor, used, available, log } = self;
        write!(
            f,
            "index={index} flags={flags:#x} desc={descriptor:#x} avail={available:#x} \
             used={used:#x} log={log:#x}"
        )
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guest_address, size, user_address, mmap_offset, xen } = self;
        write!(
            f,
            "gpa={guest_address:#x} size={size:#x} uva={user_address:#x} offset={mmap_offset:#x}"
        )?;
        match xen {
            Some(xen) => write!(f, " xen-flags={:#x} domid={}", xen.flags, xen.domid),
            None => Ok(()),
        }
    }
}

impl fmt::Display for MemTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regions={}", self.count())?;
        self.regions().try_for_each(|region| write!(f, " [{region}]"))
    }
}

impl fmt::Display for Iotlb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Self::MISS => "miss",
            Self::UPDATE => "update",
            Self::INVALIDATE => "invalidate",
            Self::ACCESS_FAIL => "access-fail",
            _ => "unknown",
        };
        let Self { iova, size, user_address, permissions, kind, .. } = self;
        write!(
            f,
            "type={kind} ({name}) iova={iova:#x} size={size:#x} uva={user_address:#x} \
             perm={permissions}"
        )
    }
}

impl fmt::Display for Config<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, size, flags, .. } = self;
        write!(f, "offset={offset} size={size} flags={flags}{}", Hex(self.data()))
    }
}

impl fmt::Display for Inflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mmap_size, mmap_offset, num_queues, queue_size, .. } = self;
        write!(
            f,
            "size={mmap_size:#x} offset={mmap_offset:#x} queues={num_queues} \
             queue-size={queue_size}"
        )
    }
}

impl fmt::Display for SharedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("uuid=")?;
        for (at, byte) in self.uuid.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.direction {
            Self::SAVE => "save",
            Self::LOAD => "load",
            _ => "unknown",
        };
        write!(f, "direction={} ({name}) phase={}", self.direction, self.phase)
    }
}

impl fmt::Display for ShmemMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shmid, fd_offset, shm_offset, len, flags, .. } = self;
        write!(
            f,
            "shmid={shmid} fd-offset={fd_offset:#x} offset={shm_offset:#x} len={len:#x} \
             flags={flags:#x}"
        )
    }
}

impl fmt::Display for ShmemConfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regions={}", self.regions)?;
        let mut shown = 0;
        let mut left_out = 0;
        for shmid in 0..=u8::MAX {
            match self.size(shmid) {
                0 => {}
                _ if shown == SHMEM_LIMIT => left_out += 1,
                size => {
                    write!(f, " {shmid}:{size:#x}")?;
                    shown += 1;
                }
            }
        }
        if left_out > 0 { write!(f, " …+{left_out}") } else { Ok(()) }
    }
}

impl fmt::Display for CryptoSession<'_> {
    /// Keys are secrets: only their lengths are printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op={:#x} session={}", self.operation(), self.session_id())?;
        if self.is_asymmetric() {
            return write!(f, " key={}", Len(self.asymmetric_key().ok()));
        }
        write!(
            f,
            " cipher-key={} auth-key={}",
            Len(self.cipher_key().ok()),
            Len(self.auth_key().ok())
        )
    }
}

/// The length of a key, or that it has none that fits.
struct Len<'a>(Option<&'a [u8]>);

impl fmt::Display for Len<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "{}B", key.len()),
            None => f.write_str("too-long"),
        }
    }
}

/// Bytes in hex, cut after [`HEX_LIMIT`] with the number left out.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = self;
        if bytes.is_empty() {
            return Ok(());
        }
        f.write_str(" data=")?;
        bytes.iter().take(HEX_LIMIT).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        match bytes.len().checked_sub(HEX_LIMIT) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "…+{more}B"),
        }
    }
}
