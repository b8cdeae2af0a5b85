/*
 * The sandbox: for now one rule, that a worker cannot write to the cgroup file
 * system, where it could move itself out of its own cgroup and so outlive it.
 *
 * Landlock only permits. So everything is permitted but the one directory:
 * on the way down to it, each sibling is. What follows from that: nothing can
 * be created, renamed or removed directly in a directory on that way ("/" is one), and,
 * as for every process under Landlock, mount(2) and the like fail.
 *
 * A domain is made of all rules anew at each start. So where the directory is below /sys
 * a worker changes nothing of /sys, which spares it the rules for siblings there. The
 * service's unit allows no more anyway: under ProtectKernelTunables= (systemd.exec(5))
 * all of /sys is read-only but cgroups and SELinux's files.
 *
 * Needs Landlock ABI 2 (Linux 5.19), the first that can permit renames between
 * directories; anything older is treated as no Landlock.
 *
 * Without that directory the rules forbid nothing. They are applied all the same:
 * each worker is in a Landlock domain of its own then, and a process in one can
 * neither trace nor read, in /proc, the memory, the environment or the descriptors
 * of a process in another or in none, as a worker's password is.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "launcher.h"

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif

enum { ABI_NEEDED = 2 };

/* Every right to change something; rights to read and execute stay unhandled. */
#define CHANGES_FILE LANDLOCK_ACCESS_FS_WRITE_FILE
#define CHANGES                                                                                     \
	(CHANGES_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |           \
	 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                             \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)

/* permit allows changes below dir/name. What cannot be opened needs no permission. */
static int permit(int ruleset, int dir, const char *name)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = CHANGES };
	struct stat st;
	int error = 0, fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (fstat(fd, &st))
		error = errno;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access = CHANGES_FILE;
	rule.parent_fd = fd;
	if (!error && !S_ISLNK(st.st_mode) &&
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		error = errno;
	close(fd);
	return error;
}

/* permit_siblings allows changes below everything in fd, which it closes, but name. */
static int permit_siblings(int ruleset, int fd, const char *name)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int error = 0;

	if (!d) {
		close(fd);
		return ENOMEM;
	}
	while (!error && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, name))
			error = permit(ruleset, dirfd(d), e->d_name);
	closedir(d);
	return error;
}

static int permit_all_but(int ruleset, const char *path)
{
	char copy[4096], *next = copy, *name;
	int error = 0, dir;

	if (path[0] != '/' || strlen(path) >= sizeof copy)
		return EINVAL;
	if (!strncmp(path, "/sys/", 5)) {
		path = "/sys";
		error = permit(ruleset, AT_FDCWD, "/sys/fs/selinux");
	}
	strcpy(copy, path);
	dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (!error && (name = strsep(&next, "/"))) {
		int list;

		if (!*name)
			continue;
		list = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		error = list < 0 ? errno : permit_siblings(ruleset, list, name);
		if (!error) {
			int below = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			error = below < 0 ? errno : 0;
			close(dir);
			dir = below;
		}
	}
	if (dir >= 0)
		close(dir);
	return error;
}

/* permit_root allows everything that the ruleset handles. */
static int permit_root(int ruleset, __u64 rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	int error = 0;

	rule.parent_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		error = errno;
	close(rule.parent_fd);
	return error;
}

int sandbox_ruleset(const char *path)
{
	/* REFER is denied where it is not handled. */
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = path ? CHANGES : LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_REFER
	};
	int ruleset;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < ABI_NEEDED)
		return -1;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (ruleset >= 0 && (path ? permit_all_but(ruleset, path) : permit_root(ruleset, attr.handled_access_fs))) {
		close(ruleset);
		ruleset = -1;
	}
	return ruleset;
}

/* EPERM: neither no_new_privs nor CAP_SYS_ADMIN, so there is nothing to be had. */
int sandbox_apply(int ruleset)
{
	long error = call(SYS_landlock_restrict_self, ruleset, 0, 0, 0, 0);

	return error == -EPERM ? 0 : (int)-error;
}
