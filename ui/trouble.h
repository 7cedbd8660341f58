/* What is wrong and what to do about it, in words: found in a picture.  Pure. */
#ifndef TIGHTWAD_UI_TROUBLE_H
#define TIGHTWAD_UI_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/feed.h"
#include "ui/theme.h"

enum { TROUBLES = 24 };

struct trouble {
    enum theme_role role; /* THEME_BAD: nothing is served; THEME_WARN: it is, but not as it could be */
    char text[1536];
};

/* The most severe first.  attached: the picture comes from another process.  out: TROUBLES of them.  Returns how many
 * there are. */
size_t trouble_find(const struct feed_picture *p, bool attached, struct trouble *out);

#endif
