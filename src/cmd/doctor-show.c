#include "cmd/doctor-show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cmd/measure.h"
#include "cmd/term.h"

/* Words of servers are among it. */
static void say(const char *before, const char *text, const char *after)
{
    char *clean = utf8_printable(text, strlen(text));
    printf("%s%s%s", before, clean, after);
    free(clean);
}

void doctor_show_server(const struct doctor_server *s, bool colour)
{
    bool good = s->reach == DOCTOR_ANSWERS;
    printf("%s%s%s %-8s %s", term_escape(colour, good ? TERM_GOOD : TERM_BAD), good ? "✓" : "✗",
           term_escape(colour, TERM_PLAIN), doctor_role_name(s->role), s->url != NULL ? s->url : s->name);
    if (good && s->model != NULL)
        say("  ", s->model, "");
    if (good && s->version != NULL)
        say(" (", s->version, ")");
    printf("\n");
    if (!good || s->url == NULL)
        return;
    char ms[32];
    printf("           %s ms away", measure_format(ms, sizeof(ms), s->rtt_ms));
    if (s->role == DOCTOR_TARGET) {
        printf(s->verifies ? ", verifies" : ", does not verify");
        if (!isnan(s->alone_ms) && s->alone_ms > 0)
            printf(", %.0f tokens/s alone", 1000 / s->alone_ms);
        if (!isnan(s->pass_ms))
            printf(", a pass %.1f ms and %.2f ms a drafted token", s->pass_ms, s->pass_more_ms);
        if (s->batch_invariant_known)
            printf(", %s", s->batch_invariant ? "exact byte for byte" : "exact up to near-ties");
    } else if (s->role == DOCTOR_DRAFTER) {
        if (s->vocab_reason != NULL)
            say(", vocabulary: ", s->vocab_reason, "");
        if (!isnan(s->draft_ms) && s->draft_ms > 0)
            printf(", drafts %.0f tokens/s", 1000 / s->draft_ms);
        if (s->drafted > 0)
            printf(", %.0f %% of %zu drafted tokens accepted%s", 100 * doctor_acceptance(s), s->drafted,
                   s->compared ? " (by comparing)" : "");
    }
    printf("\n");
}

void doctor_show_findings(const struct doctor_findings *f, bool colour)
{
    static const enum term_style styles[] = {TERM_DIM, TERM_WARN, TERM_BAD};
    for (int level = DOCTOR_ERROR; level >= DOCTOR_NOTE; level--) {
        for (size_t i = 0; i < f->n; i++) {
            const struct doctor_finding *d = &f->list[i];
            if ((int)d->level != level)
                continue;
            printf("\n%s%s%s", term_escape(colour, styles[level]), doctor_level_name(d->level),
                   term_escape(colour, TERM_PLAIN));
            say(": ", d->what, "\n");
            say("  cause: ", d->cause, "\n");
            say("  fix:   ", d->fix, "\n");
        }
    }
}
