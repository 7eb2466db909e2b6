//! Migration: dirty log (spec §6.8), device state (§6.9), postcopy (§6.10).

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::{Region, Transfer, VringAddr};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Payload};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::FdKind;

use super::talk::{
    FD, NO_FD, PROTOCOL, Talk, VIRTIO, addresses, log, notifier, region, state, transfer,
};
use super::{FAILED, OK, of};

/// Where the back-end of these scripts maps its regions in postcopy.
const MAPPED: u64 = 0x7e00_0000_0000;

/// Protocol features of postcopy.
const PAGEFAULT: u64 = PROTOCOL | protocol::PAGEFAULT;

pub(super) fn seeds() -> Vec<Seed> {
    [logs(), states(), broken_states(), postcopy(), broken_postcopy()].concat()
}

/// Switches the log of the used ring.
fn logged(talk: Talk, index: u32, is_on: bool) -> Talk {
    let addr = VringAddr { flags: u32::from(is_on), ..addresses(index) };
    talk.ack(Fe::SET_VRING_ADDR, Payload::Addr(addr))
}

fn logs() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::LOG_SHMFD | protocol::RARP;
    let on = |talk: Talk| {
        let talk = talk
            .get(Fe::SET_LOG_BASE, log(0x2_0000, 0), log(0x2_0000, 0))
            .ask(Fe::SET_LOG_FD, Payload::None)
            .ack(Fe::SET_FEATURES, Payload::U64(VIRTIO | virtio::LOG_ALL));
        logged(logged(talk, 0, true), 1, true)
    };
    let off = |talk: Talk| {
        let talk = talk.ack(Fe::SET_FEATURES, Payload::U64(VIRTIO));
        logged(logged(talk, 0, false), 1, false)
    };
    let precopy = on(off(on(Talk::new().running(VIRTIO, bits))))
        .get(Fe::SET_LOG_BASE, log(0x4_0000, 0x1000), log(0x4_0000, 0x1000))
        .stop_both()
        .ask(Fe::SET_LOG_FD, Payload::None);
    let precopy = off(precopy).ack(Fe::SEND_RARP, Payload::U64(0x5634_1200_5452));
    // Without LOG_SHMFD the payload is a u64 by the text and 16 bytes in practice.
    let plain = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .ack(Fe::SET_LOG_BASE, log(0x2000, 0))
        .ask(Fe::SET_LOG_BASE, Payload::U64(0x7f00_0000_0000))
        .ack(Fe::SET_FEATURES, Payload::U64(VIRTIO | virtio::LOG_ALL));
    let plain = logged(logged(plain, 0, true), 1, true).stop_both();
    let failing =
        Talk::new().running(VIRTIO, bits).fail(12).ask(Fe::SET_LOG_BASE, log(0x2000, 0)).again();
    vec![
        of("precopy", OK, "the log is switched on, off and on, replaced, and left", precopy),
        of("log-without-shmfd", OK, "a log without a descriptor: nothing can be logged", plain),
        of("log-that-cannot-be-mapped", FAILED, "nobody reads that reply, so it closes", failing),
    ]
}

/// Asks to transfer the device state; the device uses the front-end's channel.
fn transferred(talk: Talk, direction: u32) -> Talk {
    talk.succeed(NO_FD).get(
        Fe::SET_DEVICE_STATE_FD,
        transfer(direction, Transfer::STOPPED),
        Payload::U64(0x100),
    )
}

/// Asks how the transfer went.
fn checked(talk: Talk, result: u64) -> Talk {
    talk.get(Fe::CHECK_DEVICE_STATE, Payload::None, Payload::U64(result))
}

fn states() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::DEVICE_STATE | protocol::STATUS;
    let saved = transferred(Talk::new().running(VIRTIO, bits).stop_both(), Transfer::SAVE);
    let saved = checked(saved, 0).kick(0).kick(1).stop_both();
    let loaded = transferred(Talk::new().ready(VIRTIO, bits), Transfer::LOAD);
    let loaded = checked(loaded, 0).ring(0).ring(1).enable(0, 1).enable(1, 1).stop_both();
    let own = Talk::new()
        .ready(VIRTIO, bits)
        .succeed(FD)
        .ask(Fe::SET_DEVICE_STATE_FD, transfer(Transfer::SAVE, 0))
        .with_fds(FdKind::PIPE, 1)
        .reply(Fe::SET_DEVICE_STATE_FD, Payload::U64(0));
    let own = transferred(checked(own, 0), Transfer::LOAD);
    let own = checked(transferred(own, Transfer::SAVE), 0).ring(0).stop(0, 1);
    vec![
        of("device-state-save", OK, "the state is saved, and the source goes on", saved),
        of("device-state-load", OK, "the state is loaded before the rings start", loaded),
        of("device-state-own-channel", OK, "the device has a channel of its own; two begun", own),
    ]
}

fn broken_states() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::DEVICE_STATE;
    let refused = |talk: Talk, direction: u32, phase: u32| {
        talk.get(Fe::SET_DEVICE_STATE_FD, transfer(direction, phase), Payload::U64(0x101))
    };
    let failing = refused(Talk::new().ready(VIRTIO, bits).fail(5), Transfer::SAVE, 0);
    let failing = checked(failing, 1);
    let failing = checked(transferred(failing, Transfer::SAVE).fail(5), 1);
    let failing = checked(transferred(failing, Transfer::LOAD), 0).ring(0).stop(0, 2);
    let early = checked(Talk::new().ready(VIRTIO, bits), 1);
    let early = checked(transferred(early, Transfer::SAVE), 0);
    let early = refused(checked(early, 1).ring(0), Transfer::SAVE, 0).stop(0, 1);
    let early = refused(refused(early, 2, 0), Transfer::SAVE, 1).alive();
    vec![
        of(
            "device-state-that-fails",
            FAILED,
            "a transfer that cannot begin, one that is checked and failed, one that works",
            failing,
        ),
        of(
            "device-state-out-of-order",
            "VU-170",
            "checked before and after a transfer, begun while a ring runs, and with odd values",
            early,
        ),
    ]
}

fn advised() -> Talk {
    Talk::new().attach(PAGEFAULT).features(VIRTIO).get(
        Fe::POSTCOPY_ADVISE,
        Payload::None,
        Payload::None,
    )
}

fn listening() -> Talk {
    advised().ack(Fe::POSTCOPY_LISTEN, Payload::None)
}

/// A table in postcopy: it is answered with the back-end's own addresses.
fn shown(talk: Talk, regions: &[Region]) -> Talk {
    let mapped: Vec<_> = (0_u64..)
        .zip(regions)
        .map(|(at, region)| Region { user_address: MAPPED + at * 0x4000_0000, ..*region })
        .collect();
    mapped
        .iter()
        .fold(talk, |talk, region| talk.succeed(region.user_address))
        .table_unasked(regions)
        .with_table(&mapped, |talk, table| talk.reply(Fe::SET_MEM_TABLE, table))
}

fn ended(talk: Talk, result: u64) -> Talk {
    talk.get(Fe::POSTCOPY_END, Payload::None, Payload::U64(result))
}

fn postcopy() -> Vec<Seed> {
    let regions = [region(0), region(1)];
    let rest = |talk: Talk| {
        ended(talk.ring(0).ring(1).enable(0, 1).enable(1, 1), 0).table(&[region(0)]).stop_both()
    };
    let long = shown(listening(), &regions).ask(Fe::SET_MEM_TABLE, Payload::U64(0));
    let empty = shown(listening(), &regions).ask(Fe::SET_MEM_TABLE, Payload::None);
    let twice = shown(long.clone(), &[region(2)]).ask(Fe::SET_MEM_TABLE, Payload::U64(0));
    let early = ended(listening(), 0)
        .table(&[region(0)])
        .ring(0)
        .get(Fe::POSTCOPY_ADVISE, Payload::None, Payload::None)
        .ack(Fe::POSTCOPY_LISTEN, Payload::None);
    let early = ended(early, 0).stop(0, 1);
    let unasked = Talk::new()
        .attach(PAGEFAULT & !protocol::REPLY_ACK)
        .features(VIRTIO)
        .get(Fe::POSTCOPY_ADVISE, Payload::None, Payload::None)
        .ack(Fe::POSTCOPY_LISTEN, Payload::None);
    let unasked = shown(unasked, &regions).ask(Fe::SET_MEM_TABLE, Payload::U64(0));
    let unasked = ended(unasked.ring(0).ring(1).enable(0, 1), 0).stop_both();
    vec![
        of("postcopy", OK, "the whole dance, acknowledged with 8 bytes", rest(long)),
        of("postcopy-empty-ack", OK, "the whole dance, acknowledged with nothing", rest(empty)),
        of("postcopy-two-tables", OK, "a second table while the first one is served", rest(twice)),
        of("postcopy-without-a-table", OK, "advised, listened and ended; and once more", early),
        of(
            "hz-109-postcopy_listen-need_reply-without-reply_ack",
            OK,
            "POSTCOPY_LISTEN is answered though nobody negotiated REPLY_ACK",
            unasked,
        ),
    ]
}

fn broken_postcopy() -> Vec<Seed> {
    let regions = [region(0)];
    let begin = || Talk::new().ready(VIRTIO, PAGEFAULT);
    let alone = begin()
        .nack(Fe::POSTCOPY_LISTEN, Payload::None)
        .get(Fe::POSTCOPY_END, Payload::None, Payload::U64(1))
        .alive();
    let twice = advised().ask(Fe::POSTCOPY_ADVISE, Payload::None).again();
    let again = listening().nack(Fe::POSTCOPY_LISTEN, Payload::None);
    let again = ended(shown(again, &regions).ask(Fe::SET_MEM_TABLE, Payload::None).ring(0), 0);
    let unready = ended(shown(listening(), &regions), 1).ask(Fe::SET_MEM_TABLE, Payload::None);
    let unready = ended(unready.ring(0).ring(1), 0).stop_both();
    let table = shown(listening().ack(Fe::SET_VRING_CALL, notifier(0)), &regions)
        .table_unasked(&regions)
        .again();
    let late = shown(listening(), &regions)
        .ask(Fe::SET_MEM_TABLE, Payload::U64(0))
        .ask(Fe::SET_MEM_TABLE, Payload::U64(0))
        .again();
    let slots = PAGEFAULT | protocol::CONFIGURE_MEM_SLOTS;
    let excluded =
        Talk::new().attach(slots).features(VIRTIO).ask(Fe::POSTCOPY_ADVISE, Payload::None).again();
    let unmapped =
        listening().fail(12).table_unasked(&regions).again().stopped(0, 0).get_features();
    let unregistered = shown(listening(), &regions)
        .fail(22)
        .ask(Fe::SET_MEM_TABLE, Payload::U64(0))
        .again()
        .get(Fe::GET_VRING_BASE, state(1, 0), state(1, 0));
    vec![
        of(
            "hz-104-postcopy-listen-and-end-alone",
            "VU-175",
            "POSTCOPY_LISTEN without POSTCOPY_ADVISE, POSTCOPY_END without POSTCOPY_LISTEN",
            alone,
        ),
        of("hz-104-postcopy_advise-twice", "VU-175", "POSTCOPY_ADVISE twice", twice),
        of("postcopy_listen-twice", "VU-175", "POSTCOPY_LISTEN twice", again),
        of("postcopy_end-before-the-ack", "VU-175", "the table is not acknowledged yet", unready),
        of("postcopy-table-instead-of-ack", "VU-133", "a second table instead of an ack", table),
        of("postcopy-ack-twice", "VU-129", "the second ack is a table without regions", late),
        of("postcopy-with-slots", "VU-173", "POSTCOPY_ADVISE with CONFIGURE_MEM_SLOTS", excluded),
        of("postcopy-table-that-fails", FAILED, "a region that cannot be mapped", unmapped),
        of("postcopy-register-that-fails", FAILED, "regions that cannot be watched", unregistered),
    ]
}
