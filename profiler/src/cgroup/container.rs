//! The container that a control group belongs to, by the names that container runtimes give.
//!
//! All of these hold an id of 64 hexadecimal digits, where the runtime makes the groups itself (the driver `cgroupfs`)
//! and where it has systemd do so (the driver `systemd`):
//!
//! ```text
//! Docker       /docker/ID                                 /system.slice/docker-ID.scope
//! containerd   /kubepods/burstable/podUID/ID              /kubepods.slice/…-podUID.slice/cri-containerd-ID.scope
//!              /default/ID                                /system.slice/containerd.service/…-podUID.slice:cri-containerd:ID
//! CRI-O        /kubepods/podUID/crio-ID                   /kubepods.slice/…-podUID.slice/crio-ID.scope/container
//! Podman       /libpod_parent/libpod-ID                   /machine.slice/libpod-ID.scope/container
//! ECS          /ecs/TASK/ID                               (Fargate: ID of 32 digits, a hyphen, and a number)
//! ```

/// Digits of the id of a container.
const DIGITS: usize = 64;
/// Digits of the first part of one on Fargate.
const FARGATE_DIGITS: usize = 32;

/// The id of the container, in full; the innermost when containers run in containers. `None` for what is in none.
pub(crate) fn container_id(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find_map(in_name)
}

/// The id in the name of one control group.
fn in_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    if is_of_fargate(name) {
        return Some(name);
    }
    let (runtime, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
    // The monitor of a container has a group of its own beside it, and is not in the container.
    let is_monitor = runtime.ends_with("conmon");
    (!is_monitor && is_hexadecimal(id, DIGITS)).then_some(id)
}

fn is_of_fargate(name: &str) -> bool {
    name.split_once('-').is_some_and(|(id, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_hexadecimal(id, FARGATE_DIGITS) && is_number
    })
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == digits && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3c5c0b7b1f0a4a5e8d9f6b2c1e0d7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f";
    const OUTER: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
    const POD: &str = "pod2c48913c_b29f_11e7_9350_020968147796";

    /// Each runtime's names for a container, with both drivers.
    #[test]
    fn containers() {
        let forms = [
            // Docker
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/docker/OUTER/docker/ID",
            "/actions_job/ID",
            // containerd
            "/default/ID",
            "/kubepods/burstable/POD/ID",
            "/kubepods/POD/ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-POD.slice/cri-containerd-ID.scope",
            "/system.slice/containerd.service/kubepods-besteffort-POD.slice:cri-containerd:ID",
            "/system.slice/nerdctl-ID.scope",
            // CRI-O
            "/kubepods/besteffort/POD/crio-ID",
            "/kubepods.slice/kubepods-POD.slice/crio-ID.scope",
            "/kubepods.slice/kubepods-POD.slice/crio-ID.scope/container",
            // Podman
            "/libpod_parent/libpod-ID",
            "/machine.slice/libpod-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container/init.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/run.service/libpod-payload-ID",
            // A process of systemd in a container, and a container in one of Kubernetes's nodes in a container
            "/docker/ID/system.slice/cron.service",
            "/docker/OUTER/kubelet/kubepods/POD/ID",
            // Seen from a control group namespace beside it
            "/../ID",
            "/../../docker-ID.scope",
            // ECS
            "/ecs/f3a1c7d2e4b5968778695a4b3c2d1e0f/ID",
        ];
        for form in forms {
            let path = form
                .replace("ID", ID)
                .replace("OUTER", OUTER)
                .replace("POD", POD);
            assert_eq!(container_id(&path), Some(ID), "{form}");
        }
        let fargate = "f3a1c7d2e4b5968778695a4b3c2d1e0f-1234567890";
        let path = format!("/ecs/f3a1c7d2e4b5968778695a4b3c2d1e0f/{fargate}");
        assert_eq!(container_id(&path), Some(fargate));
    }

    /// What only looks like a container is none.
    #[test]
    fn no_containers() {
        let shorter = &ID[1..];
        let upper = ID.to_uppercase();
        let cases = [
            String::new(),
            "/".to_owned(),
            "/system.slice/ssh.service".to_owned(),
            "/user.slice/user-1000.slice/session-3.scope".to_owned(),
            format!("/docker/{shorter}"),
            format!("/docker/{ID}0"),
            format!("/docker/{upper}"),
            // Monitors
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/kubepods.slice/kubepods-{POD}.slice/crio-conmon-{ID}.scope"),
            // A pod without its container
            format!("/kubepods.slice/kubepods-{POD}.slice"),
            "/process_api/79bf11d41d30abab10a7956f67bdeca5".to_owned(),
        ];
        for case in cases {
            assert_eq!(container_id(&case), None, "{case}");
        }
    }
}
