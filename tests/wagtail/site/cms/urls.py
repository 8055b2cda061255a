"""URLs of the sample site: Wagtail's own, a login for readers, and the user block that pages include."""
from django.urls import include, path
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.documents import urls as wagtaildocs_urls

from pages.views import user_block

urlpatterns = [
    path("admin/", include(wagtailadmin_urls)),
    path("accounts/", include("django.contrib.auth.urls")),
    path("documents/", include(wagtaildocs_urls)),
    path("esi/user/", user_block),
    path("", include(wagtail_urls)),
]
