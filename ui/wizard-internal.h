/* The wizard's state and its steps, shared by its files.  What keys do and what a step shows is independent of the
 * terminal and the loop; ui/wizard.c joins them. */
#ifndef TIGHTWAD_UI_WIZARD_INTERNAL_H
#define TIGHTWAD_UI_WIZARD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>
#include <jansson.h>

#include "http/httpc.h"
#include "probe/here.h"
#include "probe/scan.h"
#include "ui/field.h"
#include "ui/page.h"
#include "ui/view.h"
#include "ui/wizard-plan.h"
#include "ui/wizard.h"

enum wizard_step {
    STEP_LOOK,     /* this machine is probed and the network scanned */
    STEP_MACHINES, /* machines and roles, as a table that can be edited */
    STEP_PATH,     /* through the decision tree, with reasons and warnings */
    STEP_MODELS,
    STEP_SUMMARY, /* what will be written, and where; Enter writes it */
    STEP_CHECKS,  /* it is written: how does it do? */
    STEP_TELL,    /* what to tell those who use it */
    STEPS
};

struct wizard;
struct wizard_start;

/* A key of a step: what the footer and the help say of it, and what it does. */
struct wizard_key {
    int key;                 /* ncurses' KEY_… or a character */
    const char *name, *word; /* "Space", "role": in the footer */
    const char *help;        /* a sentence */
    void (*run)(struct wizard *w);
};

struct wizard_step_ops {
    const char *title;
    const char *enter_word;          /* what Enter does, in the footer: "take it" */
    const struct wizard_key *keys;   /* ends with key 0; NULL: none of its own */
    void (*begin)(struct wizard *w); /* it has become the present one; NULL: nothing to do */
    void (*end)(struct wizard *w);   /* it is left; stops what it started; NULL: nothing to do */
    void (*draw)(struct wizard *w, struct page *p);
    int (*items)(struct wizard *w);   /* how many things can be chosen; NULL: none */
    bool (*accept)(struct wizard *w); /* Enter.  True: on to the next step; NULL: always */
};

extern const struct wizard_step_ops wizard_look, wizard_machines, wizard_path, wizard_models, wizard_summary,
    wizard_checks, wizard_tell;

enum wizard_over { OVER_NOTHING, OVER_HELP, OVER_LEAVE, OVER_FIELD };

struct wizard {
    const struct wizard_opts *opts;
    struct event_base *base; /* NULL in tests: nothing is started then */
    struct httpc *http;
    enum wizard_step step;
    int chosen;    /* item of the step */
    size_t from;   /* line at the top of the body */
    size_t hidden; /* lines below it, as last drawn */
    enum wizard_over over;
    bool dirty; /* to be drawn */
    bool ended;
    enum wizard_end end;

    /* OVER_FIELD */
    struct field field;
    const char *label; /* what is to be typed */
    /* Enter.  0: taken; -1 and a cause: it stays to be corrected. */
    int (*typed)(struct wizard *w, const char *text, char **cause);
    char *complaint; /* about what was typed, NULL: none */
    bool secret;     /* what is typed is not shown */

    /* STEP_LOOK, and a machine that is added */
    struct here *here;
    struct scan *scan;
    struct machine *found; /* this machine, then those of the scan */
    size_t n_found;
    size_t done, total; /* addresses */
    char **heard;       /* a line for each machine that was found while scanning */
    size_t n_heard;
    char **note; /* what the last scan could not do */
    size_t n_notes;
    bool adding; /* the scan is for a machine that was typed */
    char *token; /* for the agent of that machine, NULL: none */

    struct wizard_plan plan;

    char *text;    /* STEP_SUMMARY: cluster.yaml as it will be written */
    char *problem; /* why it can't be; NULL: it can */
    int port;      /* of the endpoint */
    bool open;     /* it listens for the private networks, too */
    bool written;
    char *backup; /* where the file that was there is kept, NULL: there was none */

    /* STEP_CHECKS */
    struct wizard_check *check;
    json_t *report;             /* the newest, NULL: none yet */
    bool checked;               /* it is complete */
    char *check_cause;          /* why there is none */
    struct wizard_start *start; /* what agents can start */
    size_t n_starts;
    struct event *again;    /* the next check, while something that was started loads; NULL: none */
    int64_t patience_until; /* clock_us: until then it is asked again by itself */
};

/* base and http NULL: nothing is asked or started. */
void wizard_init(struct wizard *w, const struct wizard_opts *opts, struct event_base *base, struct httpc *http);
void wizard_finish(struct wizard *w);

/* A key as ui/screen.h has it. */
void wizard_press(struct wizard *w, int key);
/* Whether one that was pasted counts: text into a line that is typed, and nothing else. */
bool wizard_takes_pasted(const struct wizard *w, int key);
void wizard_go(struct wizard *w, enum wizard_step step);
void wizard_leave(struct wizard *w, enum wizard_end how);
/* Asks for a line; text: what stands there at first. */
void wizard_ask(struct wizard *w, const char *label, const char *text,
                int (*typed)(struct wizard *w, const char *text, char **cause));

/* Never NULL. */
const struct wizard_step_ops *wizard_step_ops(enum wizard_step step);
/* What is on the screen between header and footer. */
void wizard_body(struct wizard *w, struct page *p);
/* The keys that do something now, as a paragraph: "Enter take it  Space role". */
void wizard_footer(struct wizard *w, struct page *p);
/* All of it; row, col: where the cursor is shown, -1 nowhere. */
void wizard_draw(struct wizard *w, const struct view *v, int *row, int *col);

/* STEP_LOOK: stops all that looks; forgets what it has found. */
void wizard_look_stop(struct wizard *w);
void wizard_look_forget(struct wizard *w);
/* Asks the machine at HOST or HOST:PORT what it is, and adds it. */
int wizard_look_at(struct wizard *w, const char *host, char **cause);
/* What a machine runs: "ollama 11434, node 8081 (qwen3-32b)".  Owned by the caller. */
char *wizard_services(const struct machine *m);

/* Parts of pages that several steps have. */
void wizard_draw_warnings(const struct advice *a, struct page *p);
void wizard_draw_tasks(const struct wizard *w, struct page *p); /* what has to be typed on which machine */

/* STEP_CHECKS: what the plan's agents can start is looked up, started, shown, forgotten. */
void wizard_start_offer(struct wizard *w);
void wizard_start_all(struct wizard *w);
void wizard_start_draw(const struct wizard *w, struct page *p);
void wizard_start_forget(struct wizard *w);
/* Something was started: the servers are asked again in a while, and again until all answer or patience ends. */
void wizard_checks_soon(struct wizard *w);

/* STEP_SUMMARY: forgets the text. */
void wizard_summary_forget(struct wizard *w);

#endif
