/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process's control group says of it: the container that it runs in, the systemd unit that
 * started it. Pure: text in, strings out.
 */
#ifndef SONDE_PROBE_CONTAINER_H
#define SONDE_PROBE_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define CONTAINER_ID_BYTES 80 /* 64 hexadecimal digits, or what Amazon ECS makes of a task; NUL */
#define UNIT_NAME_BYTES 256   /* unit names are at most 255 bytes (systemd, UNIT_NAME_MAX) */

/*
 * The container id out of the text of /proc/PID/cgroup. Where several levels look like one (a
 * container in a container), the innermost counts. Known shapes of the last components:
 *   /docker/ID, /system.slice/docker-ID.scope                       Docker
 *   /kubepods/…/podUID/ID, …/cri-containerd-ID.scope                 containerd
 *   /system.slice/containerd.service/kubepods-….slice:cri-containerd:ID
 *   …/crio-ID.scope (and crio-conmon-ID.scope, which is the monitor: not taken)
 *   …/libpod-ID.scope, …/libpod-ID, …/libpod-payload-ID              Podman
 *   /ecs/TASK/TASK-0123456789                                        Amazon ECS
 * Returns false where there is none; ret is untouched then.
 */
bool container__from_cgroup(struct view text, char ret[CONTAINER_ID_BYTES]);

/*
 * The same out of /proc/PID/mountinfo, for a process whose cgroup namespace hides the path (cgroup
 * v2 shows "0::/"): engines mount /etc/hostname and /etc/resolv.conf from a directory named after
 * the container.
 */
bool container__from_mountinfo(struct view text, char ret[CONTAINER_ID_BYTES]);

/*
 * The systemd service that a process belongs to, without ".service", out of /proc/PID/cgroup: the
 * innermost one. Units that say who began the process, not what it is, give none: user managers,
 * logins, cron, transient run-*.service. false: none.
 */
bool container__unit(struct view text, char ret[UNIT_NAME_BYTES]);

#endif
