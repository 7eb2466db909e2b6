//! Words of DHCP: options with values that mean something, and addresses that decide something.

use vhost_fuzz_core::net::dhcp::{COOKIE, option};

use super::Entry;
use crate::dhcp::{ADDRESS, ELSEWHERE, FAR_ROUTER, GUEST, NEAR_ROUTER};

/// Codes of which each length around the right one is a word.
const LENGTHS: [(u8, usize); 7] = [
    (option::REQUESTED, 4),
    (option::SERVER, 4),
    (option::KIND, 1),
    (option::OVERLOAD, 1),
    (option::MAX_SIZE, 2),
    (option::CLIENT_ID, 7),
    (option::RAPID_COMMIT, 0),
];

/// Codes that are asked for, and some that nobody has.
const CODES: [u8; 20] =
    [1, 3, 6, 12, 15, 26, 28, 33, 42, 51, 54, 58, 59, 66, 67, 80, 108, 119, 121, 249];

pub(super) fn words() -> impl Iterator<Item = Entry> {
    let kinds = (0..=9).map(|kind| (format!("kind_{kind}"), vec![option::KIND, 1, kind]));
    let addresses = [
        ("guest", ADDRESS),
        ("far_router", FAR_ROUTER),
        ("near_router", NEAR_ROUTER),
        ("elsewhere", ELSEWHERE),
        ("everybody", [255; 4].into()),
        ("nobody", [0; 4].into()),
        ("loopback", [127, 0, 0, 1].into()),
    ];
    let plain =
        addresses.map(|(name, address)| (format!("address_{name}"), address.octets().to_vec()));
    let named = [("requested", option::REQUESTED), ("server", option::SERVER)];
    let named = named.into_iter().flat_map(move |(option, code)| {
        addresses.map(|(name, address)| {
            (format!("{option}_{name}"), [&[code, 4], &address.octets()[..]].concat())
        })
    });
    let lengths = LENGTHS.into_iter().flat_map(|(code, len)| {
        [len.saturating_sub(1), len, len + 1].into_iter().enumerate().map(move |(at, len)| {
            let option =
                [&[code], &u8::try_from(len).into_iter().collect::<Vec<_>>()[..], &vec![1; len]]
                    .concat();
            (format!("option_{code}_{at}"), option)
        })
    });
    let wanted = CODES.map(|code| (format!("wants_{code}"), vec![option::PARAMETERS, 1, code]));
    let overload =
        (0..=4).map(|value| (format!("overload_{value}"), vec![option::OVERLOAD, 1, value]));
    let others = [
        ("cookie", COOKIE.to_vec()),
        ("mac", GUEST.0.to_vec()),
        ("no_length", vec![option::CLIENT_ID]),
        ("past_the_field", vec![option::DOMAIN, 255]),
        ("end", vec![option::END]),
        ("pads", vec![option::PAD; 8]),
        ("relay", vec![option::RELAY, 6, 1, 4, 1, 2, 3, 4]),
        ("servers", vec![0, 67]),
        ("clients", vec![0, 68]),
        ("pxe", vec![0x0f, 0xab]),
        ("size_576", vec![option::MAX_SIZE, 2, 2, 64]),
        ("size_300", vec![option::MAX_SIZE, 2, 1, 44]),
        ("size_most", vec![option::MAX_SIZE, 2, 255, 255]),
    ];
    let others = others.map(|(name, bytes)| (name.to_owned(), bytes));
    kinds.chain(plain).chain(named).chain(lengths).chain(wanted).chain(overload).chain(others)
}
