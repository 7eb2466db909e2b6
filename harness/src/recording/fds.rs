//! The descriptors that belong to a message, as records of a script.

use vhost_fuzz_core::vhost_user::{
    BackendRequest, Channel, Direction, FrontendRequest, Kind, Layout, Message, Payload,
};

use crate::script::{FdKind, Record};

/// The records of `count` descriptors that come with the message `bytes`: what a peer puts
/// behind them, and how large their files have to be for the fields of the message.
#[must_use]
pub fn records(kind: Kind, layout: Layout, bytes: &[u8], count: usize) -> Vec<Record<'static>> {
    let code = bytes.first_chunk().map_or(0, |code| u32::from_ne_bytes(*code));
    let payload = Message::decode(kind, layout, bytes, count).map(|message| message.payload);
    (0..count)
        .map(|index| {
            let size = payload.as_ref().map_or(0, |payload| file_size(payload, index));
            Record::Fd { kind: fd_kind(kind, code), seals: 0, size }
        })
        .collect()
}

/// What stands behind the descriptors of a message.
#[must_use]
pub fn fd_kind(kind: Kind, code: u32) -> FdKind {
    let main = FrontendRequest(code);
    let back_end = BackendRequest(code);
    match (kind.channel, kind.direction) {
        (Channel::Main, Direction::Request) => match main {
            FrontendRequest::SET_MEM_TABLE
            | FrontendRequest::ADD_MEM_REG
            | FrontendRequest::REM_MEM_REG
            | FrontendRequest::SET_LOG_BASE
            | FrontendRequest::SET_INFLIGHT_FD => FdKind::MEMFD,
            FrontendRequest::SET_LOG_FD
            | FrontendRequest::SET_VRING_KICK
            | FrontendRequest::SET_VRING_CALL
            | FrontendRequest::SET_VRING_ERR => FdKind::EVENTFD,
            FrontendRequest::SET_BACKEND_REQ_FD | FrontendRequest::GPU_SET_SOCKET => FdKind::SOCKET,
            FrontendRequest::SET_DEVICE_STATE_FD => FdKind::PIPE,
            _ => FdKind::OTHER,
        },
        (Channel::Main, Direction::Reply) => match main {
            FrontendRequest::POSTCOPY_ADVISE => FdKind::USERFAULTFD,
            FrontendRequest::GET_INFLIGHT_FD | FrontendRequest::GET_SHARED_OBJECT => FdKind::MEMFD,
            FrontendRequest::SET_DEVICE_STATE_FD => FdKind::PIPE,
            _ => FdKind::OTHER,
        },
        (Channel::Backend, Direction::Request) => match back_end {
            BackendRequest::VRING_HOST_NOTIFIER_MSG | BackendRequest::SHMEM_MAP => FdKind::MEMFD,
            _ => FdKind::OTHER,
        },
        (Channel::Backend, Direction::Reply) => match back_end {
            BackendRequest::SHARED_OBJECT_LOOKUP => FdKind::MEMFD,
            _ => FdKind::OTHER,
        },
    }
}

/// The bytes that the file behind descriptor `index` has to have.
fn file_size(payload: &Payload<'_>, index: usize) -> u64 {
    match payload {
        Payload::MemTable(table) => table
            .regions()
            .nth(index)
            .map_or(0, |region| region.mmap_offset.saturating_add(region.size)),
        Payload::MemReg(reg) => reg.region.mmap_offset.saturating_add(reg.region.size),
        Payload::Log(log) => log.offset.saturating_add(log.size),
        Payload::Inflight(area) => area.mmap_offset.saturating_add(area.mmap_size),
        Payload::Area(area) => area.offset.saturating_add(area.size),
        Payload::ShmemMap(map) => map.fd_offset.saturating_add(map.len),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    #[test]
    fn every_form_that_carries_descriptors_says_what_they_are() {
        for form in seeds::forms().iter().filter(|form| form.context.fds > 0) {
            let context = form.context;
            let records = records(context.kind, context.layout, &form.bytes, context.fds);
            assert_eq!(records.len(), context.fds);
            for record in records {
                let Record::Fd { kind, .. } = record else { panic!("{record:?}") };
                assert_ne!(kind, FdKind::OTHER, "{}", form.name);
            }
        }
    }
}
