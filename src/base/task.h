/* Blocking work on a thread of its own; its end is an event on the loop. */
#ifndef TIGHTWAD_BASE_TASK_H
#define TIGHTWAD_BASE_TASK_H

#include <event2/event.h>

struct task;

/* work runs on the thread and may touch data alone, and what nobody changes meanwhile; done runs on the loop
 * afterwards, the task is gone then.  NULL when there is no thread or descriptor to be had. */
struct task *task_start(struct event_base *base, void (*work)(void *data), void (*done)(void *data), void *data);
/* Does not wait: done is not called, and drop gets data when the work has ended, on whatever thread that is; the rest
 * of the program may be gone by then.  For work that can hang (a dead network file system, a driver). */
void task_forget(struct task *t, void (*drop)(void *data));
/* For the end of main: status; but while forgotten work runs the process ends here, without the exit handlers, which
 * would tear down the libraries that the work is in. */
int task_leave(int status);
/* Waits for the work and forgets it: done is not called.  NULL is fine. */
void task_destroy(struct task *t);

#endif
