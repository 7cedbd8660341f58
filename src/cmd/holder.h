/* The process that holds the terminal for one that may let go of it.
 *
 * A shell waits for the program that it started, and that program can't leave the terminal: it leads its process group,
 * so it has no session of its own to go to.  Hence, before anything else runs, the program forks.  The parent stays
 * where the shell sees it, passes SIGTERM and SIGHUP on and ends as the child does; the child does everything else.
 * When the child wants to go on without the terminal it starts a session of its own and releases the parent, which ends
 * with 0: the shell has its prompt back.  Should the child be killed, the parent restores the terminal. */
#ifndef TIGHTWAD_CMD_HOLDER_H
#define TIGHTWAD_CMD_HOLDER_H

/* What holder_read tells the child. */
enum holder_word {
    HOLDER_NOTHING, /* nothing waits */
    HOLDER_TERM,    /* the parent was told to end */
    HOLDER_HUP,     /* … to hang up, or to reload */
    HOLDER_GONE,    /* the parent was killed: the terminal is somebody else's now */
};

/* Before there is a thread or a loop.  In the child: its end of the line (close it by holder_release).  In the parent,
 * when the child has ended or released it: -1 and *rc, the exit code.  -1 and *rc < 0: there is no process to be had,
 * go on without. */
int holder_fork(int *rc);

/* The next word, without waiting. */
enum holder_word holder_read(int fd);

/* The child leaves the session, and the parent ends.  stdin, stdout and stderr must lead elsewhere by now. */
void holder_release(int fd);

#endif
