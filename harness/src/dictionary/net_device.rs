//! Words of the target `net_device`: steps, frames, commands.

use vhost_fuzz_core::ring::{Layout as Form, flag};

use super::Entry;
use crate::net_device::{Cut, Start, Step, bit, frames};
use crate::ram::Layout;
use crate::ring::step::Descriptor;
use crate::script;

/// Everything that a control queue takes.
const CONTROL: u128 = bit::CTRL_VQ
    | bit::CTRL_RX
    | bit::CTRL_VLAN
    | bit::CTRL_RX_EXTRA
    | bit::GUEST_ANNOUNCE
    | bit::MQ
    | bit::CTRL_MAC_ADDR;

/// A device with more features.
fn with(features: u128) -> Step<'static> {
    let start = Start::default();
    Step::Start(Start { features: start.features | features, ..start })
}

/// A record for each kind of step.
pub(super) fn steps() -> impl Iterator<Item = Entry> {
    let start = Start::default();
    let descriptor = |address, flags| Descriptor { address, len: 64, flags };
    let pair = || {
        let pair = [descriptor(0x2_0000, flag::NEXT), descriptor(0x2_1000, flag::WRITE)];
        pair.into_iter().collect()
    };
    let own = || [descriptor(0x1_0000, flag::WRITE)].into_iter().collect();
    let table = || [descriptor(0x2_0000, flag::INDIRECT)].into_iter().collect();
    let cut = |cut| Step::Send { pair: 0, cut, is_plain: true, bytes: frames::arp().into() };
    [
        ("start_split", Step::Start(start)),
        ("start_packed", Step::Start(Start { form: Form::Packed, rings: 7, ..start })),
        ("start_odd", Step::Start(Start { layout: Layout::Odd, is_swapped: true, ..start })),
        ("start_merging", with(bit::MRG_RXBUF)),
        ("start_control", with(CONTROL)),
        ("start_checksums", with(bit::CSUM | bit::HOST_TSO4)),
        ("start_hash", with(bit::HASH_REPORT)),
        ("start_tunnels", with(bit::HOST_TUNNELS)),
        (
            "start_mtu",
            Step::Start(Start { mtu: 100, features: bit::MTU | bit::VERSION_1, ..start }),
        ),
        ("wake", Step::wake(0)),
        ("wake_second", Step::wake(1)),
        ("wake_control", Step::Wake { queue: 4 }),
        ("discard", Step::Discard { pair: 0 }),
        ("restart", Step::Restart { queue: 1, is_fresh: false }),
        ("restart_fresh", Step::Restart { queue: 0, is_fresh: true }),
        ("memory_none", Step::Memory { regions: 0 }),
        ("memory_all", Step::Memory { regions: 7 }),
        ("wait", Step::Wait { ms: 1000 }),
        ("link", Step::Link { is_up: false }),
        ("announce", Step::Announce),
        ("negotiate", Step::Negotiate { features: bit::VERSION_1 }),
        ("enable", Step::Enable { queue: 1, is_on: false }),
        ("mtu", Step::Mtu { mtu: 68 }),
        ("send_bytes", cut(Cut(1))),
        ("send_table", cut(Cut(Cut::TABLE | 9))),
        ("post", Step::post(0, 1, 2048)),
        ("post_small", Step::post(0, 8, 12)),
        ("post_second", Step::post(1, 4, 1526)),
        ("chain", Step::Chain { queue: 1, id: 0, descriptors: pair() }),
        ("chain_own", Step::Chain { queue: 0, id: 0, descriptors: own() }),
        ("chain_table", Step::Chain { queue: 1, id: 0, descriptors: table() }),
        ("table", Step::Table { queue: 1, address: 0x2_0000, descriptors: pair() }),
        ("wish", Step::Wish { queue: 1, flags: 1, event: 0 }),
        ("advance", Step::Advance { queue: 1, by: 1 }),
    ]
    .into_iter()
    .map(|(name, step)| (format!("step_{name}"), script::encode(&[step.record()])[1..].to_vec()))
}

/// Frames that are answered, and commands.
pub(super) fn contents() -> impl Iterator<Item = Entry> {
    let frames = [
        ("arp", frames::arp()),
        ("arp_vlan", frames::arp_on(7)),
        ("router", frames::router()),
        ("echo", frames::echo(4)),
    ];
    let commands: [(&str, &[u8]); 9] = [
        ("promisc", &[0, 0, 1]),
        ("nouni", &[0, 4, 1]),
        ("table", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("address", &[1, 1, 2, 0, 0, 0, 0, 8]),
        ("vlan", &[2, 0, 7, 0]),
        ("announced", &[3, 0]),
        ("pairs", &[4, 0, 2, 0]),
        ("offloads", &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("coalescing", &[6, 3, 1, 0, 0, 0]),
    ];
    let frames = frames.into_iter().map(|(name, bytes)| (format!("frame_{name}"), bytes));
    let commands =
        commands.into_iter().map(|(name, bytes)| (format!("command_{name}"), bytes.to_vec()));
    frames.chain(commands)
}
