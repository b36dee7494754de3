//! How much room a file system has, and when that is too little.

/// Below this share of the file system, room is scarce, and below the other one it is as good as full.
const SCARCE_SHARE: u64 = 10;
const FULL_SHARE: u64 = 50;
/// A large file system has enough room with less than that share.
const SCARCE_BYTES: u64 = 5 << 30;
const FULL_BYTES: u64 = 256 << 20;
/// The same for inodes.
const SCARCE_INODES: u64 = 20;
const FULL_INODES: u64 = 100;

/// The room of a file system, for users without privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free bytes.
    pub free: u64,
    /// All bytes.
    pub total: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// All inodes; 0 if the file system makes them as they are needed.
    pub inodes: u64,
}

/// How much room is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    Plenty,
    /// Little.
    Scarce,
    /// As good as none.
    Full,
}

impl DiskSpace {
    /// How much room is left.
    pub fn room(&self) -> Room {
        self.room_by(1, 1)
    }

    /// The same once room was scarce: it takes a quarter more before there is plenty again.
    pub fn room_after_shortage(&self) -> Room {
        self.room_by(5, 4)
    }

    /// By limits that are multiplied.
    fn room_by(&self, factor: u64, divisor: u64) -> Room {
        let limit = |share: u64, most: u64| (self.total / share).min(most) / divisor * factor;
        let inodes = |share: u64| self.inodes / share / divisor * factor;
        let is_below = |bytes: u64, inodes: u64| self.free < bytes || (self.inodes > 0 && self.free_inodes < inodes);
        if self.total == 0 {
            Room::Plenty
        } else if is_below(limit(FULL_SHARE, FULL_BYTES), inodes(FULL_INODES)) {
            Room::Full
        } else if is_below(limit(SCARCE_SHARE, SCARCE_BYTES), inodes(SCARCE_INODES)) {
            Room::Scarce
        } else {
            Room::Plenty
        }
    }

    /// `1.5 MiB of 20.0 MiB and 12 of 5000 inodes are free`.
    pub fn words(&self) -> String {
        let bytes = format!("{} of {}", size(self.free), size(self.total));
        if self.inodes > 0 && self.free_inodes < self.inodes / SCARCE_INODES * 2 {
            format!("{bytes} and {} of {} inodes are free", self.free_inodes, self.inodes)
        } else {
            format!("{bytes} are free")
        }
    }
}

/// `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1_024.0 {
            break;
        }
        (value, unit) = (value / 1_024.0, next);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn space(free: u64, total: u64) -> DiskSpace {
        DiskSpace { free, total, ..DiskSpace::default() }
    }

    #[test]
    fn small_and_large_file_systems_have_their_own_limits() {
        let room = |free, total| space(free, total).room();
        assert_eq!(
            [room(3 * MIB, 20 * MIB), room(MIB, 20 * MIB), room(0, 20 * MIB)],
            [Room::Plenty, Room::Scarce, Room::Full]
        );
        assert_eq!(
            [room(6 * GIB, 4_000 * GIB), room(4 * GIB, 4_000 * GIB), room(100 * MIB, 4_000 * GIB)],
            [Room::Plenty, Room::Scarce, Room::Full]
        );
        assert_eq!(room(0, 0), Room::Plenty, "a file system that says nothing");
    }

    #[test]
    fn files_need_inodes() {
        let room = |free_inodes| DiskSpace { free_inodes, inodes: 1_000, ..space(GIB, 2 * GIB) }.room();
        assert_eq!([room(100), room(49), room(9)], [Room::Plenty, Room::Scarce, Room::Full]);
    }

    #[test]
    fn a_shortage_ends_with_a_margin() {
        let at_the_limit = space(2 * MIB + MIB / 4, 20 * MIB);
        assert_eq!((at_the_limit.room(), at_the_limit.room_after_shortage()), (Room::Plenty, Room::Scarce));
        assert_eq!(space(3 * MIB, 20 * MIB).room_after_shortage(), Room::Plenty);
    }

    #[test]
    fn people_read_sizes() {
        assert_eq!([0, 1_536, 20 * MIB, 3 * GIB / 2].map(size), ["0 bytes", "1.5 KiB", "20.0 MiB", "1.5 GiB"]);
        assert_eq!(space(MIB, 20 * MIB).words(), "1.0 MiB of 20.0 MiB are free");
    }
}
