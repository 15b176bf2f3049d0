//! The CPU quota of Linux control groups, both versions.
//!
//! Version 2: `cpu.max` holds `quota period`, or `max period` (kernel documentation,
//! admin-guide/cgroup-v2.rst). Version 1: `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`
//! (scheduler/sched-bwc.rst). A group is bound by its ancestors' quotas, too. Inside a container the path in
//! `/proc/self/cgroup` may be the host's and lead nowhere; the walk upwards then ends at the mount point, which
//! is the container's group.

use super::file;
use crate::text::parse;

/// The whole CPUs that the quota of this process is worth; `None` without a quota.
pub(super) fn cpu_quota() -> Option<usize> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    quota_under(b"/sys/fs/cgroup", &file::read_small(c"/proc/self/cgroup")?)
}

/// The quota for the `membership` in `/proc/self/cgroup`, with the hierarchies mounted under `root`.
fn quota_under(root: &[u8], membership: &[u8]) -> Option<usize> {
    let mut least = None;
    for line in membership.split(|byte| *byte == b'\n') {
        // hierarchy-ID:controllers:path
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if id == b"0" && controllers.is_empty() {
            least = lower(least, walk(&[root], path, version_2));
            least = lower(least, walk(&[root, b"/unified"], path, version_2));
        } else if controllers.split(|byte| *byte == b',').any(|controller| controller == b"cpu") {
            least = lower(least, walk(&[root, b"/", controllers], path, version_1));
            least = lower(least, walk(&[root, b"/cpu"], path, version_1));
        }
    }
    least
}

/// The lowest quota of the group at `mount` + `path` and its ancestors.
fn walk(mount: &[&[u8]], path: &[u8], quota: fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut group = mount.concat();
    let root = group.len();
    group.extend_from_slice(path.strip_suffix(b"/").unwrap_or(path));
    let mut least = quota(&group);
    while let Some(slash) = group[root..].iter().rposition(|byte| *byte == b'/') {
        group.truncate(root + slash);
        least = lower(least, quota(&group));
    }
    least
}

fn lower(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn version_2(group: &[u8]) -> Option<usize> {
    let limit = file::read_small(&file::join(&[group, b"/cpu.max"]))?;
    let space = limit.iter().position(|byte| *byte == b' ')?;
    let (quota, period) = limit.split_at(space);
    whole_cpus(quota, period)
}

fn version_1(group: &[u8]) -> Option<usize> {
    let quota = file::read_small(&file::join(&[group, b"/cpu.cfs_quota_us"]))?;
    let period = file::read_small(&file::join(&[group, b"/cpu.cfs_period_us"]))?;
    whole_cpus(&quota, &period)
}

/// Rounds down, because a thread beyond the quota gets the others throttled; `max` and -1 are no numbers here.
fn whole_cpus(quota: &[u8], period: &[u8]) -> Option<usize> {
    let (quota, period) = (parse(quota.trim_ascii())?, parse(period.trim_ascii())?);
    usize::try_from(quota.checked_div(period)?.max(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(root: &std::path::Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn both_versions() {
        let folder = std::env::temp_dir().join(std::format!("graven-cgroup-{}", std::process::id()));
        let root = folder.as_os_str().as_encoded_bytes();

        write(&folder, "a/b/cpu.max", "max 100000\n");
        assert_eq!(quota_under(root, b"0::/a/b\n"), None);
        write(&folder, "a/cpu.max", "250000 100000\n");
        assert_eq!(quota_under(root, b"0::/a/b\n"), Some(2));
        write(&folder, "a/b/cpu.max", "50000 100000\n");
        assert_eq!(quota_under(root, b"0::/a/b\n"), Some(1));
        write(&folder, "cpu.max", "300000 100000\n");
        assert_eq!(quota_under(root, b"0::/elsewhere/on/the/host\n"), Some(3));
        assert_eq!(quota_under(root, b"0::/\n"), Some(3));

        write(&folder, "cpu,cpuacct/g/cpu.cfs_quota_us", "-1\n");
        write(&folder, "cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota_under(root, b"4:memory:/g\n3:cpu,cpuacct:/g\n"), None);
        write(&folder, "cpu,cpuacct/g/cpu.cfs_quota_us", "800000\n");
        assert_eq!(quota_under(root, b"4:memory:/g\n3:cpu,cpuacct:/g\n"), Some(8));
        assert_eq!(quota_under(root, b"4:memory:/g\n"), None);

        assert_eq!(quota_under(root, b"nonsense\n::\n0:\n"), None);
        assert_eq!(whole_cpus(b"100000", b"0"), None);
        fs::remove_dir_all(folder).expect("the folder");
    }
}
