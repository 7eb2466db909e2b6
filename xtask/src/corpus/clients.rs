//! `corpus clients`: what recorded clients sent becomes seeds.
//!
//! For each target that knows frames of its kind, a recording gives one seed with all of them, in
//! their order and about in their time, and seeds of single frames. Of the frames of one client
//! that are of one kind and length only the first is kept, of echo requests those of all clients
//! count as one client's, and no two seeds of single frames have the same bytes.

mod kind;

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use vhost_fuzz_core::net::{ethernet, ipv4, udp};
use vhost_fuzz_harness::clients::{Recording, pcap, recordings, setup};
use vhost_fuzz_harness::corpus::{Entry, SEED_LIMIT, Seed};
use vhost_fuzz_harness::target::dhcp;
use vhost_fuzz_harness::{gateway, ipv6};

use super::judge::judge;
use super::manifest::Update;
use super::summary;
use kind::Kind;

/// What the origin of these seeds begins with; the name of the client follows.
pub(super) const ORIGIN: &str = "client ";

/// Targets that know frames of clients.
const TARGETS: [&str; 4] = ["arp", "dhcp", "dhcpv6", "ndp"];

/// What the recordings below `root` would change.
///
/// # Errors
/// When a recording cannot be read.
pub(super) fn updates(root: &Path) -> Result<Vec<Update>> {
    let recordings = recordings(root)?;
    let is_ours = |origin: &str| origin.starts_with(ORIGIN);
    let update = |target| Update::plan(root, target, is_ours, seeds(target, &recordings)?);
    TARGETS.into_iter().map(update).collect()
}

/// A frame of a client.
#[derive(Clone, Copy)]
struct Sent<'a> {
    frame: &'a pcap::Frame,
    kind: Kind,
}

/// The seeds of one target.
fn seeds(target: &'static str, recordings: &[Recording]) -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    let (mut inputs, mut shapes) = (HashSet::new(), HashSet::new());
    for recording in recordings {
        let name = recording.name.as_str();
        let sent = recording.sent().filter_map(|frame| {
            let kind = Kind::of(&frame.bytes)?;
            (kind.target == target).then_some(Sent { frame, kind })
        });
        let sent: Vec<_> = sent.collect();
        let (input, frames) = whole(target, &sent);
        if frames > 1 {
            let count = summary::count(frames, "frame");
            let shows = match frames == sent.len() {
                true => format!("what {name} sends: {count}"),
                false => format!("what {name} sends first: {count}"),
            };
            seeds.push(seed(target, recording, format!("client-{name}"), shows, input)?);
        }
        for Sent { frame, kind } in &sent {
            let len = frame.bytes.len();
            let client = if kind.is_echo { "" } else { name };
            let input = encode(target, &[(0, &frame.bytes)]);
            if !shapes.insert((client, kind.name, len)) || !inputs.insert(input.clone()) {
                continue;
            }
            let named = format!("client-{name}-{}", kind.name);
            let is_taken = seeds.iter().any(|seed: &Seed| seed.name == named);
            let named = if is_taken { format!("{named}-{len}-bytes") } else { named };
            let shows = format!("{} of {name}", kind.shows());
            seeds.push(seed(target, recording, named, shows, input)?);
        }
    }
    Ok(seeds)
}

fn seed(
    target: &str,
    recording: &Recording,
    name: String,
    shows: String,
    bytes: Vec<u8>,
) -> Result<Seed> {
    let expect = judge(target, &bytes)?.verdict;
    let origin = format!("{ORIGIN}{}", recording.name);
    Ok(Seed { name, entry: Entry { shows, expect, origin }, bytes })
}

/// The input of all frames, or of as many as fit, and how many these are.
fn whole(target: &str, sent: &[Sent<'_>]) -> (Vec<u8>, usize) {
    let times = sent.iter().map(|sent| sent.frame.at_ms);
    let before = sent.first().map(|sent| sent.frame.at_ms).into_iter().chain(times.clone());
    let waits = times.zip(before).map(|(at, before)| at.saturating_sub(before));
    let timed: Vec<_> =
        waits.zip(sent).map(|(wait, sent)| (wait, sent.frame.bytes.as_slice())).collect();
    let mut count = timed.len();
    loop {
        let input = encode(target, timed.get(..count).unwrap_or(&timed));
        if input.len() <= SEED_LIMIT || count == 0 {
            return (input, count);
        }
        count -= 1;
    }
}

/// The input of frames, each with the milliseconds since the one before it.
fn encode(target: &str, frames: &[(u64, &[u8])]) -> Vec<u8> {
    match target {
        "arp" => {
            // A record tells a moment and ten seconds only.
            let record = |&(wait, frame)| gateway::Record {
                is_late: wait >= 5000,
                ..gateway::Record::new(frame)
            };
            gateway::encode(setup::ARP, &frames.iter().map(record).collect::<Vec<_>>())
        }
        "dhcp" => {
            let mut bytes = setup::DHCP.0.to_vec();
            bytes.extend(frames.iter().filter_map(|(wait, frame)| message(*wait, frame)).flatten());
            bytes
        }
        _ => {
            let byte = if target == "ndp" { setup::NDP } else { setup::DHCPV6 };
            let units = |wait: u64| u8::try_from(rounded(wait, ipv6::DELAY)).unwrap_or(u8::MAX);
            let records: Vec<_> =
                frames.iter().map(|(wait, frame)| (units(*wait), frame)).collect();
            ipv6::encode(byte, &records)
        }
    }
}

/// The record of a DHCP message.
fn message(wait: u64, frame: &[u8]) -> Option<Vec<u8>> {
    let frame = ethernet::Frame::parse(frame).ok()?;
    let packet = ipv4::Packet::parse(frame.payload).ok()?;
    let datagram = udp::Datagram::parse(&packet, kind::COMPLETE).ok()?;
    let record = dhcp::Record {
        seconds: u16::try_from(rounded(wait, 1000)).unwrap_or(u16::MAX),
        ethernet_source: frame.source,
        source: packet.source,
        destination: packet.destination,
        port: datagram.destination_port,
        payload: datagram.payload,
    };
    Some(record.encode())
}

/// The nearest number of units.
fn rounded(value: u64, unit: u64) -> u64 {
    value.saturating_add(unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::clients::CLIENT_MAC;
    use vhost_fuzz_harness::ipv6::dhcpv6::{client, message};
    use vhost_fuzz_harness::ipv6::draft::Draft;
    use vhost_fuzz_harness::ipv6::ndp::{GATEWAY, GUEST};

    fn recording(name: &str, frames: &[(u64, Vec<u8>)]) -> Recording {
        let frame =
            |(at_ms, bytes): &(u64, Vec<u8>)| pcap::Frame { at_ms: *at_ms, bytes: bytes.clone() };
        Recording { name: name.to_owned(), frames: frames.iter().map(frame).collect() }
    }

    fn names(seeds: &[Seed]) -> Vec<&str> {
        seeds.iter().map(|seed| seed.name.as_str()).collect()
    }

    #[test]
    fn frames_become_seeds_of_their_targets() {
        let solicit = message(1, &client()).frame();
        let router = Draft::router(GUEST).frame();
        let mut answer = router.clone();
        answer[6] ^= 0x40;
        assert_eq!(solicit[6..12], CLIENT_MAC.0);
        let recording = recording(
            "a",
            &[(100, router.clone()), (105, answer), (1600, router), (1601, solicit)],
        );
        let ndp = seeds("ndp", std::slice::from_ref(&recording)).expect("seeds");
        assert_eq!(names(&ndp), ["client-a", "client-a-router-solicitation"]);
        let waits: Vec<_> = ipv6::records(&ndp[0].bytes[1..]).map(|(wait, _)| wait).collect();
        assert_eq!(waits, [0, 1500]);
        assert_eq!(ndp[0].entry.shows, "what a sends: 2 frames");
        assert_eq!(ndp[1].entry.shows, "router solicitation of a");
        let dhcpv6 = seeds("dhcpv6", std::slice::from_ref(&recording)).expect("seeds");
        assert_eq!(names(&dhcpv6), ["client-a-solicit"], "one frame is no conversation");
        assert!(seeds("dhcp", &[recording]).expect("seeds").is_empty());
    }

    #[test]
    fn what_other_clients_sent_is_not_kept_again() {
        let echo = |body: &[u8]| (0, Draft::echo(GUEST, GATEWAY, body).frame());
        let router = (0, Draft::router(GUEST).frame());
        let first = recording("a", &[echo(&[1]), echo(&[2]), router.clone()]);
        let second = recording("b", &[echo(&[3]), echo(&[4, 5]), router]);
        let seeds = seeds("ndp", &[first, second]).expect("seeds");
        let expected = [
            "client-a",
            "client-a-ping",
            "client-a-router-solicitation",
            "client-b",
            "client-b-ping",
        ];
        assert_eq!(names(&seeds), expected);
    }

    #[test]
    fn a_long_conversation_is_cut() {
        let frame = (0, Draft::echo(GUEST, GATEWAY, &[0; 1000]).frame());
        let long = recording("a", &vec![frame; 20]);
        let seeds = seeds("ndp", &[long]).expect("seeds");
        assert!(seeds[0].bytes.len() <= SEED_LIMIT);
        assert_eq!(seeds[0].entry.shows, "what a sends first: 7 frames");
    }
}
