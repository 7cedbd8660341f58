/* The last step: what those who use it need to know.  Enter opens the dashboard. */
#include "ui/wizard-internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What the checks found of the drafter; false: they did not measure it. */
static bool measured(const struct wizard *w, struct advice_measured *m)
{
    size_t i;
    json_t *s;
    *m = (struct advice_measured){.accepted = NAN};
    json_array_foreach(json_object_get(w->report, "servers"), i, s)
    {
        const json_t *accepted = json_object_get(s, "acceptance");
        if (isnan(m->accepted) && json_is_number(accepted))
            m->accepted = json_number_value(accepted);
    }
    json_array_foreach(json_object_get(w->report, "findings"), i, s)
    {
        const char *id = json_string_value(json_object_get(s, "id"));
        m->loses = m->loses || (id && strcmp(id, "does-not-pay") == 0);
    }
    return !isnan(m->accepted);
}

static void draw(struct wizard *w, struct page *p)
{
    bool named = w->open && w->plan.n > 0 && w->plan.machine[0].origin == MACHINE_HERE;
    char *endpoint = xasprintf("%s:%d", named ? w->plan.machine[0].name : "127.0.0.1", w->port);
    struct advice_measured m;
    char *text = advice_tell(w->plan.advice, w->plan.machine, endpoint, measured(w, &m) ? &m : NULL);
    page_say(p, THEME_BOLD, "Tell your human");
    page_say(p, THEME_TEXT, "%s", "");
    page_mark(p, THEME_DIM, "  ", THEME_TEXT, "%s", text);
    page_say(p, THEME_TEXT, "%s", "");
    page_say(p, THEME_TEXT,
             "`Enter` starts the cluster and opens its dashboard.  `tightwad` does the same from now on.");
    free(text);
    free(endpoint);
}

static bool take(struct wizard *w)
{
    wizard_leave(w, WIZARD_DASHBOARD);
    return true;
}

const struct wizard_step_ops wizard_tell = {
    .title = "done",
    .enter_word = "open the dashboard",
    .accept = take,
    .draw = draw,
};
