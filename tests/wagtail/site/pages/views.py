"""Views beside the page tree."""
from django.http import HttpResponse
from django.utils.html import escape
from django.views.decorators.cache import cache_control


@cache_control(private=True, no_store=True)
def user_block(request):
    """The personal part of an article, fetched by the cache in front for each visitor."""
    name = request.user.get_username() if request.user.is_authenticated else "guest"
    return HttpResponse(f'<p class="user">hello {escape(name)}</p>')
