//! How many CPUs this process may use.

use super::cgroup;

/// The number of threads that can run at once: the CPUs that the affinity mask allows, but no more than the
/// cgroups' CPU quota, rounded down; at least 1.
pub fn available() -> usize {
    let quota = cgroup::cpu_quota().unwrap_or(usize::MAX);
    allowed().min(quota).max(1)
}

/// CPUs in this thread's affinity mask.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn allowed() -> usize {
    // The kernel refuses a mask that is shorter than its own; this one has room for 16384 CPUs.
    let mut mask = [0u64; 256];
    // SAFETY: the mask is as long as stated.
    let status = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), (&raw mut mask).cast()) };
    if status != 0 {
        return online();
    }
    mask.iter().map(|word| word.count_ones() as usize).sum()
}

/// CPUs of the machine, where there is no affinity mask.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allowed() -> usize {
    online()
}

fn online() -> usize {
    // SAFETY: the call has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_the_standard_library_counts() {
        // Both read the affinity mask and the quota, and both round down.
        let standard = std::thread::available_parallelism().expect("a number of CPUs").get();
        assert_eq!(super::available(), standard);
    }
}
