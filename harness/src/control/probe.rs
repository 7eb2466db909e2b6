//! Frames that show what a device receives.

/// Stations that frames are for; the first is the address that a device gives its driver.
pub const STATIONS: [[u8; 6]; 5] = [
    [2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 2],
    [2, 0, 0, 0, 0, 3],
    [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff],
    [0; 6],
];

/// Groups that frames are for; the last is everybody.
pub const GROUPS: [[u8; 6]; 5] = [
    [0x33, 0x33, 0, 0, 0, 1],
    [1, 0, 0x5e, 0, 0, 1],
    [1, 0, 0x5e, 0, 0, 0xfb],
    [3, 0, 0, 0, 0, 1],
    [0xff; 6],
];

/// What comes behind the addresses: no tag, tags of either kind, and tags that are cut.
const BEHIND: [&[u8]; 11] = [
    &[8, 0, 0x45],
    &[0x81, 0, 0, 0, 8, 0],
    &[0x81, 0, 0xe0, 0, 8, 0],
    &[0x81, 0, 0, 1, 8, 0],
    &[0x81, 0, 0xff, 0xfe, 8, 0],
    &[0x81, 0, 0x0f, 0xff, 8, 0],
    &[0x81, 0, 0x01, 0, 0x86, 0xdd],
    &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 9, 8, 0],
    &[0x81, 0, 0],
    &[0x81],
    &[],
];

/// A frame for every station and group, with every tag, and some that end in their addresses.
#[must_use]
pub fn probes() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for to in STATIONS.iter().chain(&GROUPS) {
        for behind in BEHIND {
            frames.push([&to[..], &[2, 0, 0, 0, 0, 99], behind].concat());
        }
        frames.push(to.to_vec());
        frames.push(to[..5].to_vec());
    }
    frames.push(Vec::new());
    frames
}

/// Addresses of IPv4 in a flow.
const V4: [[u8; 4]; 2] = [[66, 9, 149, 187], [161, 142, 100, 80]];

/// Addresses of IPv6 in a flow, and two home addresses.
const V6: [[u8; 16]; 4] = [
    [0x3f, 0xfe, 0x25, 1, 2, 0, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7],
    [0x3f, 0xfe, 0x25, 1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa],
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb],
];

/// A frame with so many tags.
fn packet(tags: usize, ether_type: [u8; 2], packet: &[u8]) -> Vec<u8> {
    let front = [&STATIONS[0][..], &[2, 0, 0, 0, 0, 99]].concat();
    [&front, &[0x81, 0, 0, 0].repeat(tags), &ether_type[..], packet].concat()
}

/// A transport header of this protocol, and a little more.
fn transport(protocol: u8, port: u16) -> Vec<u8> {
    let ports = [port.to_be_bytes(), [0x06, 0xe6]].concat();
    [ports, vec![0; if protocol == 6 { 16 } else { 4 }], vec![1, 2, 3]].concat()
}

/// A packet of IPv4 with `words` of options; `fragment` is its field.
fn v4(protocol: u8, words: u8, fragment: [u8; 2], behind: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45 + words, 0, 0, 60, 0, 0, fragment[0], fragment[1], 64, protocol];
    header.extend([&[0, 0], &V4.concat()[..], &vec![1; 4 * usize::from(words)], behind].concat());
    header
}

/// A packet of IPv6 with these extension headers, each a number and what it has behind its first
/// byte.
fn v6(protocol: u8, extensions: &[(u8, Vec<u8>)], behind: &[u8]) -> Vec<u8> {
    let next = |at: usize| extensions.get(at).map_or(protocol, |(number, _)| *number);
    let mut bytes = vec![0x60, 0, 0, 0, 0, 60, next(0), 64];
    bytes.extend(V6[..2].concat());
    for (at, (_, rest)) in extensions.iter().enumerate() {
        bytes.push(next(at + 1));
        bytes.extend(rest);
    }
    bytes.extend(behind);
    bytes
}

/// Packets of every kind that is hashed, and of some that are not, with these ports.
#[must_use]
pub fn flows(port: u16) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let padded = |bytes: &[u8], len: usize| [bytes, &vec![0; len - bytes.len()]].concat();
    let home = (60, [&[2, 1, 0, 0, 0, 0xc9, 16], &V6[2][..]].concat());
    let route = (43, [&[2, 2, 1, 0, 0, 0, 0], &V6[3][..]].concat());
    let plain = (0, padded(&[0, 1, 4], 7));
    let sealed = (51, padded(&[1], 11));
    let piece = |more: u8| (44, vec![0, 0, more, 0, 0, 0, 7]);
    for protocol in [6, 17, 1] {
        let behind = transport(protocol, port);
        for (words, fragment) in [(0, [0x40, 0]), (2, [0, 0]), (0, [0x20, 0]), (0, [0, 9])] {
            frames.push(packet(0, [8, 0], &v4(protocol, words, fragment, &behind)));
        }
        for extensions in [
            vec![],
            vec![plain.clone()],
            vec![home.clone(), route.clone()],
            vec![route.clone(), sealed.clone(), home.clone()],
            vec![home.clone(), piece(1)],
            vec![piece(0), home.clone()],
            vec![plain.clone(); 8],
            [vec![plain.clone(); 8], vec![home.clone()]].concat(),
        ] {
            frames.push(packet(0, [0x86, 0xdd], &v6(protocol, &extensions, &behind)));
        }
        frames.push(packet(2, [8, 0], &v4(protocol, 0, [0, 0], &behind)));
        frames.push(packet(8, [0x86, 0xdd], &v6(protocol, &[], &behind)));
        frames.push(packet(9, [0x86, 0xdd], &v6(protocol, &[], &behind)));
        for cut in [4, behind.len() - 3] {
            frames.push(packet(0, [8, 0], &v4(protocol, 0, [0, 0], &behind[..cut])));
        }
    }
    let whole = packet(0, [0x86, 0xdd], &v6(6, &[home, route], &transport(6, port)));
    frames.extend((14..whole.len()).step_by(7).map(|len| whole[..len].to_vec()));
    frames.push(packet(0, [8, 6], &[0; 28]));
    frames.push(packet(0, [8, 0], &[0x44; 40]));
    frames.push(packet(0, [0x86, 0xdd], &[0x45; 60]));
    frames
}
