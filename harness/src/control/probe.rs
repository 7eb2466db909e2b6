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
