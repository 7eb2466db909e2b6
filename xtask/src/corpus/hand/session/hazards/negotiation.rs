//! HZ-11 to HZ-39, HZ-94, HZ-97 and HZ-106: headers, descriptors and features.

use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Kind, Message, Payload};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::script::FdKind;
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::super::talk::{MODERN, PROTOCOL, Talk, VIRTIO, notifier, region, state};
use super::{FAILED, OK, after, after_with, closes, of};
use crate::corpus::hand::{longs, wire, words};

const ASK: u32 = 0x1;
const ASK_ACK: u32 = 0x9;

/// A request as bytes.
fn ask(talk: Talk, code: u32, flags: u32, payload: &[u8]) -> Talk {
    talk.raw(Kind::FRONTEND_REQUEST, &wire(code, flags, payload))
}

fn acked(talk: Talk, code: Fe, result: u64) -> Talk {
    talk.reply(code, Payload::U64(result))
}

pub(super) fn seeds() -> Vec<Seed> {
    [headers(), ids(), descriptors(), features(), gates(), order()].concat()
}

fn headers() -> Vec<Seed> {
    let need = |talk: Talk| {
        let request = Message::frontend(Fe::GET_FEATURES, Payload::None).with_need_reply();
        talk.send(request).reply(Fe::GET_FEATURES, Payload::U64(ScriptOffer::default().features))
    };
    vec![
        after(
            "hz-11-get_features-need_reply",
            OK,
            "need_reply on requests with a reply of their own brings no second one",
            |talk| need(need(talk)),
        ),
        after("hz-14-set_features-4-bytes", "DC-005", "SET_FEATURES with 4 bytes", |talk| {
            acked(ask(talk, Fe::SET_FEATURES.0, ASK_ACK, &[0; 4]), Fe::SET_FEATURES, 1)
        }),
        closes(
            PROTOCOL,
            "hz-15-get_features-8-bytes",
            "DC-005",
            "GET_FEATURES with a payload has no way to be refused but the end",
            |talk| ask(talk, Fe::GET_FEATURES.0, ASK, &longs(&[0])),
        ),
    ]
}

fn ids() -> Vec<Seed> {
    let unknown =
        |talk: Talk, code: u32| acked(ask(talk, code, ASK_ACK, &longs(&[7])), Fe(code), 1);
    vec![
        after(
            "hz-17-19-unknown-ids-need_reply",
            "VU-012",
            "ids 46, 0 and 0xffffffff are refused with an acknowledgement",
            |talk| unknown(unknown(unknown(talk, 46), 0), u32::MAX),
        ),
        closes(PROTOCOL, "hz-18-unknown-id", "VU-012", "id 46 that asks for nothing", |talk| {
            ask(talk, 46, ASK, &[])
        }),
        closes(PROTOCOL, "hz-19-id-0", "VU-012", "id 0 that asks for nothing", |talk| {
            ask(talk, 0, ASK, &[])
        }),
    ]
}

fn descriptors() -> Vec<Seed> {
    let calls = (0..40_u64).fold(Talk::new().ready(VIRTIO, PROTOCOL), |talk, round| {
        talk.ask(Fe::SET_VRING_CALL, notifier(round % 2))
    });
    let odd = [FdKind::MEMFD, FdKind::OTHER, FdKind::PIPE, FdKind::SOCKET].into_iter().fold(
        Talk::new().ready(VIRTIO, PROTOCOL).set_up(0),
        |talk, kind| {
            let talk = talk.fail(22).with_fds(kind, 1).nack(Fe::SET_VRING_KICK, notifier(0));
            talk.with_fds(kind, 1).ack(Fe::SET_VRING_KICK, notifier(0)).stop(0, 0)
        },
    );
    let both = [
        wire(Fe::SET_VRING_KICK.0, ASK, &longs(&[0x100])),
        wire(Fe::SET_VRING_KICK.0, ASK, &longs(&[1])),
    ];
    vec![
        closes(
            PROTOCOL,
            "hz-16-fd-with-get_features",
            "VU-020",
            "a descriptor with GET_FEATURES",
            |talk| talk.with_fds(FdKind::EVENTFD, 1).ask(Fe::GET_FEATURES, Payload::None),
        ),
        closes(
            PROTOCOL,
            "hz-22-fd-for-the-second-kick",
            "VU-099",
            "two kicks in one call; the descriptor meant for the second belongs to the first",
            |talk| talk.with_fds(FdKind::EVENTFD, 1).raw(Kind::FRONTEND_REQUEST, &both.concat()),
        ),
        after(
            "hz-22a-fd-with-the-second-kick",
            OK,
            "two kicks in two calls that are received together",
            |talk| {
                talk.raw(Kind::FRONTEND_REQUEST, &both[0])
                    .with_fds(FdKind::EVENTFD, 1)
                    .raw(Kind::FRONTEND_REQUEST, &both[1])
                    .stop_both()
            },
        ),
        after(
            "hz-23-set_backend_req_fd-eventfd",
            FAILED,
            "the back-end channel is no socket",
            |talk| {
                talk.fail(88)
                    .with_fds(FdKind::EVENTFD, 1)
                    .nack(Fe::SET_BACKEND_REQ_FD, Payload::None)
            },
        ),
        after(
            "hz-24-set_backend_req_fd-without-fd",
            "VU-020",
            "a back-end channel that is not there",
            |talk| talk.with_fds(FdKind::SOCKET, 0).nack(Fe::SET_BACKEND_REQ_FD, Payload::None),
        ),
        of(
            "hz-25-kick-odd-fds",
            FAILED,
            "kick descriptors that cannot be waited for: refused, or taken and silent",
            odd,
        ),
        of("hz-26-40-calls", OK, "call descriptors that replace each other", calls.alive()),
    ]
}

fn features() -> Vec<Seed> {
    let inband = ScriptOffer { protocol_features: protocol::ALL, ..ScriptOffer::default() };
    let alone = |bits: u64| {
        Talk::offering(inband.clone()).ready(VIRTIO, PROTOCOL).set_protocol(bits).again()
    };
    let skip = protocol::GET_VRING_BASE_SKIP_DRAIN;
    vec![
        after(
            "hz-30-set_features-unoffered-bit-63",
            "VU-041",
            "a feature that was not offered, alone and beside others",
            |talk| {
                talk.nack(Fe::SET_FEATURES, Payload::U64(1 << 63))
                    .nack(Fe::SET_FEATURES, Payload::U64(1 << 63 | VIRTIO))
                    .features(VIRTIO)
            },
        ),
        after(
            "hz-31-set_protocol_features-unoffered-bit-40",
            "VU-050",
            "a protocol feature that was not offered",
            |talk| {
                talk.nack(Fe::SET_PROTOCOL_FEATURES, Payload::U64(1 << 40 | PROTOCOL))
                    .set_protocol(PROTOCOL)
            },
        ),
        of(
            "hz-32-bit-14-without-bit-3",
            "VU-217",
            "notifications in messages without acknowledgements",
            alone(protocol::INBAND_NOTIFICATIONS | protocol::BACKEND_REQ),
        ),
        of(
            "hz-32-bit-14-without-bit-5",
            "VU-217",
            "notifications in messages without a back-end channel",
            alone(protocol::INBAND_NOTIFICATIONS | protocol::REPLY_ACK),
        ),
        after(
            "bit-23-without-bits-20-and-12",
            "VU-096",
            "stopping at once without anywhere to record what is in flight",
            |talk| {
                [skip, skip | protocol::INFLIGHT_SHMFD, skip | protocol::GET_VRING_BASE_INFLIGHT]
                    .into_iter()
                    .fold(talk, |talk, bits| {
                        talk.nack(Fe::SET_PROTOCOL_FEATURES, Payload::U64(PROTOCOL | bits))
                    })
            },
        ),
    ]
}

fn gates() -> Vec<Seed> {
    let config = words(&[0, 8, 0, 0, 0]);
    let none = ScriptOffer { protocol_features: 0, ..ScriptOffer::default() };
    let unoffered = [Fe::SEND_RARP, Fe::NET_SET_MTU, Fe::RESET_DEVICE];
    let reset = Talk::offering(none)
        .get_features()
        .owner()
        .get(Fe::GET_PROTOCOL_FEATURES, Payload::None, Payload::U64(0))
        .features(VIRTIO)
        .queue_num()
        .enable(0, 1)
        .call_and_err(0)
        .table_unasked(&[region(0)])
        .ring(0)
        .ask(Fe::RESET_DEVICE, Payload::None)
        .reconnect()
        .get_features()
        .owner()
        .ask(unoffered[0], Payload::U64(0))
        .reconnect()
        .get_features()
        .ask(unoffered[1], Payload::U64(1500));
    let plain = ScriptOffer { features: MODERN, ..ScriptOffer::default() };
    let plain = Talk::offering(plain)
        .get_features()
        .owner()
        .call_and_err(0)
        .features(MODERN)
        .table_unasked(&[region(0)])
        .ring(0)
        .enable(0, 1)
        .enable(0, 0)
        .stop(0, 1)
        .ask(Fe::GET_PROTOCOL_FEATURES, Payload::None)
        .reconnect()
        .get_features()
        .ask(Fe::SET_PROTOCOL_FEATURES, Payload::U64(0));
    vec![
        closes(
            PROTOCOL,
            "hz-35-get_config-without-config",
            "VU-189",
            "GET_CONFIG that was not negotiated",
            |talk| talk.raw(Kind::FRONTEND_REQUEST, &wire(Fe::GET_CONFIG.0, ASK, &config)),
        ),
        after("hz-36-vring_kick-without-inband", "VU-026", "a kick as a message", |talk| {
            talk.nack(Fe::VRING_KICK, state(0, 0))
        }),
        closes(
            PROTOCOL,
            "hz-37-check_device_state-without-device_state",
            "VU-158",
            "CHECK_DEVICE_STATE that was not negotiated",
            |talk| talk.ask(Fe::CHECK_DEVICE_STATE, Payload::None),
        ),
        of("requests-that-were-not-offered", "VU-221", "a device without protocol features", reset),
        of("device-without-bit-30", "VU-044", "a device that has no protocol features", plain),
    ]
}

fn order() -> Vec<Seed> {
    let bits = PROTOCOL | protocol::RESET_DEVICE | protocol::STATUS;
    let ready = || Talk::new().attach(PROTOCOL).enable(0, 1).enable(1, 1);
    let repeated = |talk: Talk| {
        talk.get_features().protocol(PROTOCOL).ack(Fe::SET_FEATURES, Payload::U64(VIRTIO))
    };
    let equal = repeated(repeated(Talk::new().running(VIRTIO, PROTOCOL))).stop_both();
    let changed = Talk::new()
        .running(VIRTIO, PROTOCOL)
        .nack(Fe::SET_FEATURES, Payload::U64(MODERN))
        .nack(Fe::SET_FEATURES, Payload::U64(VIRTIO | virtio::RING_PACKED))
        .ack(Fe::SET_FEATURES, Payload::U64(VIRTIO | virtio::LOG_ALL))
        .ack(Fe::SET_FEATURES, Payload::U64(VIRTIO))
        .stop_both()
        .features(MODERN);
    let reset = |talk: Talk| talk.ask(Fe::RESET_DEVICE, Payload::None);
    let resets = reset(reset(reset(Talk::new()).running(VIRTIO, bits)))
        .get(Fe::GET_STATUS, Payload::None, Payload::U64(0))
        .stopped(0, 0);
    vec![
        of(
            "hz-33-set_vring_enable-before-features",
            OK,
            "rings are enabled before the first SET_FEATURES",
            ready().features(VIRTIO).table(&[region(0)]).ring(0).ring(1).stop_both(),
        ),
        of(
            "hz-34-features-without-bit-30-then-disable",
            OK,
            "SET_FEATURES without bit 30, then SET_VRING_ENABLE 0, which applies",
            ready()
                .features(MODERN)
                .enable(0, 0)
                .table(&[region(0)])
                .ring(0)
                .enable(0, 1)
                .enable(0, 0)
                .stop(0, 1),
        ),
        after("hz-38-set_owner-twice", OK, "SET_OWNER twice, also while a ring runs", |talk| {
            talk.owner().ring(0).ack(Fe::SET_OWNER, Payload::None).stop(0, 1)
        }),
        of("hz-39-features-change-while-running", "DC-016", "only bit 26 may change", changed),
        after_with(bits, "hz-94-set_status-0x100", "VU-227", "a status of 9 bits", |talk| {
            talk.status(0xf).nack(Fe::SET_STATUS, Payload::U64(0x100)).get(
                Fe::GET_STATUS,
                Payload::None,
                Payload::U64(0xf),
            )
        }),
        of("hz-97-reset_device-anywhere", OK, "before features, while rings run, twice", resets),
        of("hz-106-features-repeated", OK, "equal features again, while rings run", equal),
    ]
}
