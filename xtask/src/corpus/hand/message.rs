//! Single messages: one for each way in which the codec refuses.

use vhost_fuzz_core::vhost_user::payload::{CryptoSession, VringFd};
use vhost_fuzz_core::vhost_user::{BackendRequest, FrontendRequest as Fe, Kind, Layout};
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_harness::corpus::Seed;

use super::{announcing, longs, seed, table, wire, words};

/// Flags of a request, of one that wants an acknowledgement, and of a reply.
const ASK: u32 = 0x1;
const ASK_ACK: u32 = 0x9;
const REPLY: u32 = 0x5;

const OK: &str = "accept";

const LOG_SHMFD: Layout = Layout { xen_mmap: false, log_shmfd: true, postcopy_ack: false };
const XEN: Layout = Layout { xen_mmap: true, log_shmfd: false, postcopy_ack: false };
const POSTCOPY: Layout = Layout { xen_mmap: false, log_shmfd: false, postcopy_ack: true };

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [
        lengths(),
        flags(),
        unknown(),
        sizes(),
        tables(),
        regions_and_logs(),
        configs(),
        keys(),
        descriptors(),
        no_fd_flags(),
        replies(),
    ]
    .concat()
}

/// A front-end's request that comes with so many descriptors.
fn ask(fds: usize, bytes: &[u8]) -> Vec<u8> {
    Context::plain(Kind::FRONTEND_REQUEST, fds).join(bytes)
}

/// The same after something was negotiated.
fn ask_with(layout: Layout, fds: usize, bytes: &[u8]) -> Vec<u8> {
    Context { layout, ..Context::plain(Kind::FRONTEND_REQUEST, fds) }.join(bytes)
}

/// A back-end's reply.
fn reply(fds: usize, bytes: &[u8]) -> Vec<u8> {
    Context::plain(Kind::BACKEND_REPLY, fds).join(bytes)
}

/// A back-end's request.
fn back_end(fds: usize, bytes: &[u8]) -> Vec<u8> {
    Context::plain(Kind::BACKEND_REQUEST, fds).join(bytes)
}

/// A front-end's reply on the back-end channel.
fn back_end_reply(fds: usize, bytes: &[u8]) -> Vec<u8> {
    Context::plain(Kind::FRONTEND_REPLY, fds).join(bytes)
}

fn lengths() -> Vec<Seed> {
    let addr = longs(&[0, 0x1000, 0x2000, 0x3000, 0]);
    let whole = wire(Fe::SET_VRING_ADDR.0, ASK, &addr);
    let longer = [&whole[..], &[0]].concat();
    vec![
        seed("header-0-bytes", "VU-001", "nothing at all", Vec::new()),
        seed("header-11-bytes", "VU-001", "a header without its last byte", whole[..11].to_vec()),
        seed(
            "hz-06-payload-cut",
            "VU-001",
            "SET_VRING_ADDR with 39 of the 40 bytes that its header announces",
            whole[..51].to_vec(),
        ),
        seed(
            "payload-1-byte-more-than-announced",
            "VU-001",
            "SET_VRING_ADDR with a byte after the 40 that its header announces",
            longer,
        ),
        seed(
            "hz-13-size-0xffffffff",
            "VU-001",
            "SET_FEATURES that announces 4294967295 bytes and has none",
            announcing(Fe::SET_FEATURES.0, ASK, u32::MAX, &[]),
        ),
    ]
}

fn flags() -> Vec<Seed> {
    let features = Fe::GET_FEATURES.0;
    let u64_of = |code: u32, flags: u32| wire(code, flags, &longs(&[0]));
    vec![
        seed(
            "hz-07-version-2",
            "VU-011",
            "version 2 in the flags",
            ask(0, &wire(features, 2, &[])),
        ),
        seed(
            "hz-08-version-0",
            "VU-011",
            "version 0 in the flags",
            ask(0, &wire(features, 0, &[])),
        ),
        seed(
            "hz-08-version-3",
            "VU-011",
            "version 3 in the flags",
            ask(0, &wire(features, 3, &[])),
        ),
        seed(
            "hz-09-reserved-flag-bit-4",
            "VU-007",
            "a request with flag bit 4",
            ask(0, &wire(features, 0x11, &[])),
        ),
        seed(
            "reserved-flag-bit-31-in-reply",
            "VU-007",
            "a reply with flag bit 31",
            reply(0, &u64_of(features, 0x8000_0005)),
        ),
        seed(
            "hz-10-reply-bit-in-request",
            "VU-006",
            "a request with the reply bit",
            ask(0, &wire(features, REPLY, &[])),
        ),
        seed(
            "reply-bit-clear-in-reply",
            "VU-004",
            "a reply without the reply bit",
            reply(0, &u64_of(features, ASK)),
        ),
        seed(
            "reply-bit-clear-in-backend-reply",
            "VU-005",
            "a reply on the back-end channel without the reply bit",
            back_end_reply(0, &u64_of(BackendRequest::CONFIG_CHANGE_MSG.0, ASK)),
        ),
        seed(
            "hz-101-need_reply-in-reply",
            "VU-008",
            "a reply with the need_reply bit of its request (flags 0xd)",
            reply(0, &u64_of(features, 0xd)),
        ),
        seed(
            "hz-11-get_features-need_reply",
            OK,
            "GET_FEATURES with need_reply, which changes nothing: it is answered in any case",
            ask(0, &wire(features, ASK_ACK, &[])),
        ),
    ]
}

fn unknown() -> Vec<Seed> {
    let body = |len: u8| (0..len).collect::<Vec<_>>();
    vec![
        seed(
            "hz-17-request-46-need_reply",
            OK,
            "request 46, which nobody knows, with need_reply: whole, for the session to refuse",
            ask(0, &wire(46, ASK_ACK, &body(8))),
        ),
        seed(
            "hz-18-request-46",
            OK,
            "request 46 without need_reply: whole, for the session to refuse",
            ask(0, &wire(46, ASK, &body(200))),
        ),
        seed(
            "hz-19-request-0",
            OK,
            "request 0, which is never sent: whole, for the session to refuse",
            ask(0, &wire(0, ASK_ACK, &[])),
        ),
        seed(
            "request-0xffffffff",
            OK,
            "the largest request id, with a descriptor",
            ask(1, &wire(u32::MAX, ASK, &body(255))),
        ),
        seed(
            "backend-request-11",
            OK,
            "request 11 on the back-end channel, which nobody knows",
            back_end(0, &wire(11, ASK_ACK, &body(40))),
        ),
    ]
}

fn sizes() -> Vec<Seed> {
    let sized = |code: u32, len: usize| wire(code, ASK_ACK, &vec![0; len]);
    vec![
        seed(
            "hz-12-set_features-4097-bytes",
            "DC-005",
            "SET_FEATURES with 4097 bytes, all of them there",
            ask(0, &sized(Fe::SET_FEATURES.0, 4097)),
        ),
        seed(
            "hz-14-set_features-4-bytes",
            "DC-005",
            "SET_FEATURES with half a u64",
            ask(0, &sized(Fe::SET_FEATURES.0, 4)),
        ),
        seed(
            "hz-15-get_features-8-bytes",
            "DC-005",
            "GET_FEATURES with a payload",
            ask(0, &sized(Fe::GET_FEATURES.0, 8)),
        ),
        seed(
            "hz-85-get_inflight_fd-20-bytes",
            "DC-005",
            "GET_INFLIGHT_FD without the padding at its end",
            ask(0, &sized(Fe::GET_INFLIGHT_FD.0, 20)),
        ),
        seed(
            "backend-iotlb_msg-26-bytes",
            "DC-005",
            "an IOTLB message without the padding at its end",
            back_end(0, &sized(BackendRequest::IOTLB_MSG.0, 26)),
        ),
        seed(
            "create_crypto_session-1071-bytes",
            "DC-005",
            "CREATE_CRYPTO_SESSION without its last byte",
            ask(0, &sized(Fe::CREATE_CRYPTO_SESSION.0, 1071)),
        ),
        seed(
            "get_shmem_config-reply-2057-bytes",
            "DC-005",
            "GET_SHMEM_CONFIG reply with a byte too many",
            reply(0, &wire(Fe::GET_SHMEM_CONFIG.0, REPLY, &[0; 2057])),
        ),
        seed(
            "hz-101-ack-of-4-bytes",
            "DC-005",
            "an acknowledgement of SET_VRING_NUM with half a u64",
            reply(0, &wire(Fe::SET_VRING_NUM.0, REPLY, &[0; 4])),
        ),
    ]
}

fn tables() -> Vec<Seed> {
    let code = Fe::SET_MEM_TABLE.0;
    let full = |count: u32, len: usize| {
        let mut table = table(count.min(8));
        table[..4].copy_from_slice(&count.to_ne_bytes());
        table.resize(len, 0);
        wire(code, ASK_ACK, &table)
    };
    vec![
        seed(
            "hz-20-9-regions",
            "DC-005",
            "a memory table of 9 regions with 9 descriptors",
            ask(9, &wire(code, ASK_ACK, &table(9))),
        ),
        seed(
            "hz-21-33-regions",
            "DC-005",
            "a memory table of 33 regions with as many descriptors as an input can have",
            ask(15, &wire(code, ASK_ACK, &table(33))),
        ),
        seed(
            "9-regions-in-room-for-8",
            "VU-129",
            "a memory table that announces 9 regions and has 8",
            ask(8, &full(9, 264)),
        ),
        seed("hz-40-0-regions", "VU-129", "a memory table without regions", ask(0, &full(0, 8))),
        seed(
            "hz-40-0-regions-as-postcopy-ack",
            OK,
            "a memory table without regions, where a postcopy acknowledgement is due",
            ask_with(POSTCOPY, 0, &full(0, 8)),
        ),
        seed(
            "hz-41-2-regions-1-fd",
            "VU-128",
            "a memory table of 2 regions with 1 descriptor",
            ask(1, &full(2, 72)),
        ),
        seed(
            "hz-42-1-region-padded",
            OK,
            "a memory table of 1 region, padded to the 264 bytes of 8 regions",
            ask(1, &full(1, 264)),
        ),
        seed(
            "2-regions-in-room-for-1",
            "DC-005",
            "a memory table that announces 2 regions and has 1",
            ask(2, &full(2, 40)),
        ),
        seed(
            "2-regions-without-xen-fields",
            "DC-005",
            "a memory table of 2 regions of 32 bytes, where XEN_MMAP asks for 40",
            ask_with(XEN, 2, &full(2, 72)),
        ),
    ]
}

fn regions_and_logs() -> Vec<Seed> {
    let region = longs(&[0, 0x20_0000, 0x20_0000, 0x7f00_0000_0000, 0]);
    let add = wire(Fe::ADD_MEM_REG.0, ASK_ACK, &region);
    let remove = wire(Fe::REM_MEM_REG.0, ASK_ACK, &region);
    let log = longs(&[0x1000, 0]);
    let log = |len: usize| wire(Fe::SET_LOG_BASE.0, ASK, &log[..len]);
    vec![
        seed("hz-52-add_mem_reg-0-fds", "VU-020", "ADD_MEM_REG without a descriptor", ask(0, &add)),
        seed("hz-52-add_mem_reg-2-fds", "VU-020", "ADD_MEM_REG with 2 descriptors", ask(2, &add)),
        seed(
            "hz-53-add_mem_reg-32-bytes",
            "DC-005",
            "ADD_MEM_REG without the padding at its front",
            ask(1, &wire(Fe::ADD_MEM_REG.0, ASK_ACK, &region[8..])),
        ),
        seed(
            "hz-54-rem_mem_reg-1-fd",
            OK,
            "REM_MEM_REG with a descriptor, which the receiver closes",
            ask(1, &remove),
        ),
        seed(
            "hz-83-set_log_base-8-bytes",
            "DC-005",
            "SET_LOG_BASE as a u64, although LOG_SHMFD was negotiated",
            ask_with(LOG_SHMFD, 0, &log(8)),
        ),
        seed(
            "set_log_base-fd-without-log_shmfd",
            "VU-020",
            "SET_LOG_BASE with a descriptor, although LOG_SHMFD was not negotiated",
            ask(1, &log(16)),
        ),
    ]
}

fn configs() -> Vec<Seed> {
    let window = |size: u32, len: usize| [words(&[0, size, 0]), vec![0xc0; len]].concat();
    let get = |size, len| ask(0, &wire(Fe::GET_CONFIG.0, ASK, &window(size, len)));
    let set = |size, len| ask(0, &wire(Fe::SET_CONFIG.0, ASK_ACK, &window(size, len)));
    vec![
        seed(
            "hz-91-get_config-claims-more",
            "DC-007",
            "GET_CONFIG that claims 4096 bytes and carries 8",
            get(4096, 8),
        ),
        seed(
            "get_config-claims-0xffffffff",
            "DC-007",
            "GET_CONFIG whose size wraps when the prefix is added to it",
            get(u32::MAX, 11),
        ),
        seed(
            "hz-91-get_config-reply-claims-less",
            "DC-007",
            "GET_CONFIG reply that claims 8 bytes and carries 60",
            reply(0, &wire(Fe::GET_CONFIG.0, REPLY, &window(8, 60))),
        ),
        seed(
            "get_config-11-bytes",
            "DC-005",
            "GET_CONFIG without the last byte of its prefix",
            ask(0, &wire(Fe::GET_CONFIG.0, ASK, &[0; 11])),
        ),
        seed(
            "hz-91-set_config-claims-more",
            "VU-269",
            "SET_CONFIG that claims 4096 bytes and carries 8",
            set(4096, 8),
        ),
        seed(
            "hz-91-set_config-claims-less",
            OK,
            "SET_CONFIG that carries 256 bytes, of which 4 count",
            set(4, 256),
        ),
        seed(
            "set_config-claims-less-than-257",
            "DC-005",
            "SET_CONFIG that claims less than it carries, and carries more than any padded form",
            set(4, 257),
        ),
    ]
}

fn keys() -> Vec<Seed> {
    let create = |patches: &[(usize, u32)]| {
        let mut session = vec![0; CryptoSession::LEN as usize];
        for (at, value) in patches {
            session[*at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        ask(0, &wire(Fe::CREATE_CRYPTO_SESSION.0, ASK, &session))
    };
    let operation = if cfg!(target_endian = "little") { 0 } else { 4 };
    let asymmetric = (operation, CryptoSession::CREATE_ASYMMETRIC);
    vec![
        seed(
            "cipher-key-65-bytes",
            "DC-008",
            "a cipher key of 65 bytes in a field of 64",
            create(&[(12, CryptoSession::CIPHER_KEY_LIMIT + 1)]),
        ),
        seed(
            "auth-key-0xffffffff-bytes",
            "DC-008",
            "an authentication key of 4294967295 bytes in a field of 512",
            create(&[(24, u32::MAX)]),
        ),
        seed(
            "asymmetric-key-1025-bytes",
            "DC-008",
            "an asymmetric key of 1025 bytes in a field of 1024",
            create(&[asymmetric, (16, CryptoSession::ASYMMETRIC_KEY_LIMIT + 1)]),
        ),
        seed(
            "asymmetric-key-symmetric-lengths",
            OK,
            "an asymmetric session, in which the symmetric key lengths are something else",
            create(&[asymmetric, (12, u32::MAX), (24, u32::MAX)]),
        ),
    ]
}

fn descriptors() -> Vec<Seed> {
    let empty = |code: u32| wire(code, ASK_ACK, &[]);
    vec![
        seed(
            "hz-16-get_features-1-fd",
            "VU-020",
            "GET_FEATURES with a descriptor",
            ask(1, &wire(Fe::GET_FEATURES.0, ASK, &[])),
        ),
        seed(
            "hz-24-set_backend_req_fd-0-fds",
            "VU-020",
            "SET_BACKEND_REQ_FD without a descriptor",
            ask(0, &empty(Fe::SET_BACKEND_REQ_FD.0)),
        ),
        seed(
            "hz-98-set_device_state_fd-0-fds",
            "VU-020",
            "SET_DEVICE_STATE_FD without a descriptor",
            ask(0, &wire(Fe::SET_DEVICE_STATE_FD.0, ASK, &words(&[0, 0]))),
        ),
        seed(
            "hz-101-postcopy_advise-reply-0-fds",
            "VU-020",
            "POSTCOPY_ADVISE reply without its userfaultfd",
            reply(0, &wire(Fe::POSTCOPY_ADVISE.0, REPLY, &[])),
        ),
        seed(
            "hz-100-backend-shmem_map-0-fds",
            "VU-020",
            "SHMEM_MAP without a descriptor",
            back_end(0, &wire(BackendRequest::SHMEM_MAP.0, ASK_ACK, &longs(&[0, 0, 0, 0x1000, 1]))),
        ),
    ]
}

fn no_fd_flags() -> Vec<Seed> {
    let vring = |code: Fe, value: u64| wire(code.0, ASK_ACK, &longs(&[value]));
    let none = VringFd::NO_FD;
    let area = |value: u64| {
        wire(BackendRequest::VRING_HOST_NOTIFIER_MSG.0, ASK_ACK, &longs(&[value, 0x1000, 0]))
    };
    let kick = Fe::SET_VRING_KICK;
    vec![
        seed(
            "hz-69-kick-no-fd-flag-1-fd",
            "VU-099",
            "SET_VRING_KICK that says it has no descriptor, and has one",
            ask(1, &vring(kick, none)),
        ),
        seed(
            "hz-70-kick-0-fds",
            "VU-099",
            "SET_VRING_KICK that says it has a descriptor, and has none",
            ask(0, &vring(kick, 0)),
        ),
        seed(
            "hz-71-kick-no-fd-flag",
            OK,
            "SET_VRING_KICK without a descriptor: the back-end polls ring 0",
            ask(0, &vring(kick, none)),
        ),
        seed(
            "hz-72-kick-bits-9-63",
            OK,
            "SET_VRING_KICK with every bit that has no meaning",
            ask(1, &vring(kick, !(none | VringFd::INDEX_MASK))),
        ),
        seed(
            "call-0-fds",
            "VU-102",
            "SET_VRING_CALL that says it has a descriptor, and has none",
            ask(0, &vring(Fe::SET_VRING_CALL, 1)),
        ),
        seed(
            "err-no-fd-flag-1-fd",
            "VU-105",
            "SET_VRING_ERR that says it has no descriptor, and has one",
            ask(1, &vring(Fe::SET_VRING_ERR, none | 1)),
        ),
        seed(
            "backend-notifier-0-fds",
            "DC-010",
            "VRING_HOST_NOTIFIER_MSG that says it has a descriptor, and has none",
            back_end(0, &area(0)),
        ),
        seed(
            "backend-notifier-no-fd-flag-1-fd",
            "DC-010",
            "VRING_HOST_NOTIFIER_MSG that says it has no descriptor, and has one",
            back_end(1, &area(none)),
        ),
    ]
}

fn replies() -> Vec<Seed> {
    let inflight = |size: u64| {
        let body = [longs(&[size, 0]), words(&[0x0100_0002, 0])].concat();
        wire(Fe::GET_INFLIGHT_FD.0, REPLY, &body)
    };
    let state = |value: u64| wire(Fe::SET_DEVICE_STATE_FD.0, REPLY, &longs(&[value]));
    let lookup = |value: u64| wire(BackendRequest::SHARED_OBJECT_LOOKUP.0, REPLY, &longs(&[value]));
    vec![
        seed(
            "get_inflight_fd-reply-area-0-fds",
            "VU-179",
            "an in-flight area of 4 KiB without its descriptor",
            reply(0, &inflight(0x1000)),
        ),
        seed(
            "get_inflight_fd-reply-no-area-1-fd",
            "VU-179",
            "no in-flight area, but a descriptor",
            reply(1, &inflight(0)),
        ),
        seed(
            "set_device_state_fd-reply-error-1-fd",
            "VU-162",
            "SET_DEVICE_STATE_FD reply with an error and a descriptor",
            reply(1, &state(1)),
        ),
        seed(
            "set_device_state_fd-reply-0-fds",
            "VU-161",
            "SET_DEVICE_STATE_FD reply that says it has a descriptor, and has none",
            reply(0, &state(0)),
        ),
        seed(
            "set_device_state_fd-reply-no-fd-flag-1-fd",
            "VU-161",
            "SET_DEVICE_STATE_FD reply that says it has no descriptor, and has one",
            reply(1, &state(0x100)),
        ),
        seed(
            "backend-lookup-reply-success-0-fds",
            "VU-232",
            "SHARED_OBJECT_LOOKUP reply that reports success without a descriptor",
            back_end_reply(0, &lookup(0)),
        ),
        seed(
            "backend-lookup-reply-failure-1-fd",
            "VU-232",
            "SHARED_OBJECT_LOOKUP reply that reports failure with a descriptor",
            back_end_reply(1, &lookup(u64::MAX)),
        ),
    ]
}

#[cfg(test)]
mod tests;
