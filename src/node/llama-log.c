#include "node/llama-log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

enum { LINE_MAX = 1024 };

static struct {
    pthread_mutex_t lock;
    struct buf line; /* messages come in parts; a line ends with a newline */
    enum ggml_log_level level;
    char *error;
} catcher = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* "llama_model_load: error loading model: …": the function's name helps nobody who did not write it. */
static const char *without_function(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (n > 0 && text[n] == ':' && text[n + 1] == ' ' && memchr(text, '_', n) != NULL)
        return text + n + 2;
    return text;
}

static void finish_line(void)
{
    if (catcher.line.len == 0)
        return;
    log_debug("llama.cpp: %s", catcher.line.data);
    if (catcher.level == GGML_LOG_LEVEL_ERROR) {
        free(catcher.error);
        catcher.error = xstrdup(without_function(catcher.line.data));
    }
    buf_clear(&catcher.line);
}

static void on_message(enum ggml_log_level level, const char *text, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&catcher.lock);
    if (level != GGML_LOG_LEVEL_CONT) {
        finish_line();
        catcher.level = level;
    }
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            finish_line();
        else
            (void)buf_addc(&catcher.line, *text);
    }
    pthread_mutex_unlock(&catcher.lock);
}

void llama_log_install(void)
{
    buf_init(&catcher.line, LINE_MAX);
    llama_log_set(on_message, NULL);
}

char *llama_log_take_error(void)
{
    pthread_mutex_lock(&catcher.lock);
    char *error = catcher.error;
    catcher.error = NULL;
    pthread_mutex_unlock(&catcher.lock);
    return error;
}
